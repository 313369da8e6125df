import type { Migration } from '../sqlite/migration.js';

/**
 *   layer            key · id · bytes · entries · opaque_root · whiteouts · describes_root · tar · tar_bytes
 *   layer_claim      layer · process        a layer being unpacked or removed: not recorded, so it points at nothing
 *
 * `layer.key` is what other sections point at to keep a layer.
 */
export const LAYER_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
CREATE TABLE layer (
  key         INTEGER PRIMARY KEY,
  id          TEXT    NOT NULL UNIQUE,
  bytes       INTEGER NOT NULL,
  entries     INTEGER NOT NULL,
  opaque_root INTEGER NOT NULL,
  whiteouts   INTEGER NOT NULL,
  describes_root INTEGER NOT NULL
) STRICT;

CREATE TABLE layer_claim (
  layer   TEXT NOT NULL PRIMARY KEY,
  process TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blob (
  digest TEXT NOT NULL PRIMARY KEY,
  layer  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`,
  },
  {
    // What a blob held was written and never read.
    version: 2,
    sql: `
DROP TABLE blob;
`,
  },
  {
    // With it comes version 2 of the store's format.
    version: 4,
    sql: `
ALTER TABLE layer ADD COLUMN tar TEXT NOT NULL DEFAULT 'older';
ALTER TABLE layer ADD COLUMN tar_bytes INTEGER NOT NULL DEFAULT 0;
`,
  },
];
