import type { Migration } from '../sqlite/migration.js';

/**
 *   state            records_lost           one row: 1, the records began anew on a store that had something in it; 2, they are older than it; else 0
 *                      · records_id · generation         what the file beside the records is compared with: see `records-witness.ts`
 */
export const STATE_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
CREATE TABLE state (
  records_lost INTEGER NOT NULL
) STRICT;
INSERT INTO state (records_lost) VALUES (0);
`,
  },
  {
    // How far the records have come: at least as far as the order in which their images were used, see `image-tables.ts`.
    version: 3,
    sql: `
ALTER TABLE state ADD COLUMN records_id TEXT;
ALTER TABLE state ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
UPDATE state SET generation = (SELECT count(*) FROM image);
`,
  },
];
