import type { Migration } from '../sqlite/migration.js';

/**
 *   volume           name · owner · state · maker · created_at · labels
 *   volume_use       volume → volume · container, rootfs → rootfs
 *
 * A volume that a root filesystem has cannot be forgotten; that it has it goes with the row of the root filesystem, whoever takes that away.
 */
export const VOLUME_MIGRATIONS: readonly Migration[] = [
  {
    version: 6,
    sql: `
CREATE TABLE volume (
  name       TEXT    NOT NULL PRIMARY KEY,
  owner      TEXT    NOT NULL,
  state      TEXT    NOT NULL CHECK (state IN ('new', 'ready', 'removing')),
  maker      TEXT,
  created_at INTEGER NOT NULL,
  labels     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE volume_use (
  volume    TEXT NOT NULL REFERENCES volume (name),
  container TEXT NOT NULL,
  rootfs    TEXT NOT NULL,
  PRIMARY KEY (container, rootfs, volume),
  FOREIGN KEY (container, rootfs) REFERENCES rootfs (container, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_use_by_volume ON volume_use (volume);
`,
  },
];
