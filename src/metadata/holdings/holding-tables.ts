import type { Migration } from '../sqlite/migration.js';

/**
 *   holding          kind · name · holder · process · boot · since · details
 *
 * One row for what one has. It points at nothing: what is held outlives the record of its holder for as long as giving it back takes.
 */
export const HOLDING_MIGRATIONS: readonly Migration[] = [
  {
    version: 6,
    sql: `
CREATE TABLE holding (
  kind    TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  holder  TEXT,
  process TEXT    NOT NULL,
  boot    TEXT    NOT NULL,
  since   INTEGER NOT NULL,
  details TEXT,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX holding_by_holder ON holding (holder);
`,
  },
];
