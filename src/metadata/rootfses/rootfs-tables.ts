import type { Migration } from '../sqlite/migration.js';

/**
 *   rootfs           container · id · owner · image · backend · state · maker · created_at · stack → stack
 *                      · mount_boot · mount_namespace · mount_process
 *
 * A rootfs is one row, whatever the number of its layers, and outlives its image: `rootfs.image` is no foreign key, and an image that was forgotten and pulled
 * again has another stack than the rootfses that were made of it before. It is theirs all the same.
 *
 * A container is the rootfses that bear its id: there is no row for it. Where a rootfs was mounted last stands in its three `mount_` columns, which are null
 * for one that is no mount, and for those of version 1.
 */
export const ROOTFS_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
CREATE TABLE rootfs (
  container  TEXT    NOT NULL,
  id         TEXT    NOT NULL,
  owner      TEXT    NOT NULL,
  image      TEXT    NOT NULL,
  backend    TEXT    NOT NULL,
  state      TEXT    NOT NULL CHECK (state IN ('provisioning', 'ready')),
  maker      TEXT,
  created_at INTEGER NOT NULL,
  stack      INTEGER NOT NULL REFERENCES stack (key),
  PRIMARY KEY (container, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rootfs_by_stack ON rootfs (stack);
`,
  },
  {
    // Where a rootfs is mounted, of which nothing is known for those recorded before.
    version: 2,
    sql: `
ALTER TABLE rootfs ADD COLUMN mount_boot TEXT;
ALTER TABLE rootfs ADD COLUMN mount_namespace TEXT;
ALTER TABLE rootfs ADD COLUMN mount_process TEXT;
`,
  },
];
