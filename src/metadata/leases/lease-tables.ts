import type { Migration } from '../sqlite/migration.js';

/**
 *   lease            pull · process · since
 *   └── lease_layer      pull → · layer     layers that a pull under way needs, recorded or not
 */
export const LEASE_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
CREATE TABLE lease (
  pull    TEXT    NOT NULL PRIMARY KEY,
  process TEXT    NOT NULL,
  since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lease_layer (
  pull  TEXT NOT NULL REFERENCES lease (pull) ON DELETE CASCADE,
  layer TEXT NOT NULL,
  PRIMARY KEY (pull, layer)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_layer_by_layer ON lease_layer (layer);
`,
  },
];
