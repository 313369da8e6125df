/**
 * The records on disk, drawn once. Change the drawing and the list in `migrations.ts` together; the version of the
 * schema is that of the last step there, and stands in `PRAGMA user_version`.
 *
 *   image            key · id · media_type · config_digest · platform · source · created_at · last_used_at
 *   ├── image_document   image → · manifest · config
 *   ├── image_name       name · image →
 *   ├── index_choice     digest · platform · image →     what an index of several platforms holds for one of them
 *   └── image_layer      image → · position · layer → ───────┐
 *                                                            ├──▶ layer   key · id · bytes · entries · opaque_root · whiteouts · describes_root
 *   container        id · owner · created_at                 │
 *   └── rootfs           key · id · container → · image · backend · state · claim · created_at
 *       └── rootfs_layer     rootfs → · position · layer → ──┘
 *
 *   layer_claim      layer · process        a layer being unpacked: not recorded yet, so it points at nothing
 *   destroy_claim    container · process    a container being destroyed; it need not be recorded, what is below it may be
 *   blob             digest · layer         what a compressed blob holds: a fact, true with or without the layer
 *
 * An arrow is a foreign key. Those to `layer` refuse to let a layer go that an image or a rootfs still uses; the others
 * take the lower row away with the upper one. `rootfs.image` is no foreign key: a rootfs outlives its image.
 *
 * `key` numbers stand in for digests of 71 characters where many rows point at one. `rootfs.claim` is the process that is
 * provisioning it. A process is written as `newIdentity` gives it, a time in milliseconds since the epoch, a stack from
 * position 0 at the bottom. `image_document` stands apart because the last use of an image is written at each provision,
 * and SQLite writes whole rows.
 */

/** Says in the file's header that it is ours: "prov". @see sqlite.org/fileformat.html, "Application ID" */
export const APPLICATION_ID = 0x70726f76;

/** Version 1, as a new store gets it. Frozen once released: later versions are steps in `migrations.ts`. */
export const FIRST_SCHEMA = `
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

-- The unique index on id also answers which images begin with some hex digits.
CREATE TABLE image (
  key           INTEGER PRIMARY KEY,
  id            TEXT    NOT NULL UNIQUE,
  media_type    TEXT    NOT NULL,
  config_digest TEXT    NOT NULL,
  platform      TEXT    NOT NULL,
  source        TEXT    NOT NULL,
  created_at    INTEGER NOT NULL,
  last_used_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE image_document (
  image    INTEGER PRIMARY KEY REFERENCES image (key) ON DELETE CASCADE,
  manifest TEXT NOT NULL,
  config   TEXT NOT NULL
) STRICT;

CREATE TABLE image_name (
  name  TEXT    NOT NULL PRIMARY KEY,
  image INTEGER NOT NULL REFERENCES image (key) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX image_name_by_image ON image_name (image);

CREATE TABLE index_choice (
  digest   TEXT    NOT NULL,
  platform TEXT    NOT NULL,
  image    INTEGER NOT NULL REFERENCES image (key) ON DELETE CASCADE,
  PRIMARY KEY (digest, platform)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_choice_by_image ON index_choice (image);

CREATE TABLE image_layer (
  image    INTEGER NOT NULL REFERENCES image (key) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  layer    INTEGER NOT NULL REFERENCES layer (key),
  PRIMARY KEY (image, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layer_by_layer ON image_layer (layer);

CREATE TABLE container (
  id         TEXT    NOT NULL PRIMARY KEY,
  owner      TEXT    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE destroy_claim (
  container TEXT NOT NULL PRIMARY KEY,
  process   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rootfs (
  key        INTEGER PRIMARY KEY,
  id         TEXT    NOT NULL UNIQUE,
  container  TEXT    NOT NULL REFERENCES container (id),
  image      TEXT    NOT NULL,
  backend    TEXT    NOT NULL,
  state      TEXT    NOT NULL CHECK (state IN ('provisioning', 'ready', 'destroying')),
  claim      TEXT,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX rootfs_by_container ON rootfs (container);

CREATE TABLE rootfs_layer (
  rootfs   INTEGER NOT NULL REFERENCES rootfs (key) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  layer    INTEGER NOT NULL REFERENCES layer (key),
  PRIMARY KEY (rootfs, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX rootfs_layer_by_layer ON rootfs_layer (layer);
`;
