/**
 * The records on disk, drawn once. Change the drawing and the list in `migrations.ts` together; the version of the
 * schema is that of the last step there, and stands in `PRAGMA user_version`.
 *
 *   image            key · id · media_type · config_digest · platform · source · created_at · last_used_at · pinned · stack → ──┐
 *   │                  · use_order                                                                                              │
 *   ├── image_document   image → · manifest · config                                                                       │
 *   ├── image_name       name · image →                                                                                    │
 *   └── index_choice     digest · platform · image →     what an index of several platforms holds for one of them          │
 *                                                                                                                          │
 *   rootfs           container · id · owner · image · backend · state · maker · created_at · stack → ──┬────────────────────┘
 *                      · mount_boot · mount_namespace · mount_process                                  ▼
 *   layer            key · id · bytes · entries · opaque_root · whiteouts · describes_root        stack   key · size
 *    ▲                                                                                             └── stack_layer
 *    └─────────────────────────────────────────────────────────────────────────────────────────────── stack → · position · layer →
 *
 *   layer_claim      layer · process        a layer being unpacked or removed: not recorded, so it points at nothing
 *   lease            pull · process · since
 *   ├── lease_layer      pull → · layer     layers that a pull under way needs, recorded or not
 *   └── pull             pull → · source · platform · terms · image       what is pulled, for others who want the same
 *       └── pull_layer       pull → · position · layer · phase · bytes · total       how far it is, once a second
 *   pull_outcome     source · platform · terms · pull · finished_at · result         JSON; kept for an hour
 *
 *   state            records_lost           one row: 1, the records began anew on a store that had something in it; 2, they are older than it; else 0
 *                      · records_id · generation         what the file beside the records is compared with: see `records-witness.ts`
 *
 * An arrow is a foreign key. Those to `layer` and `stack` refuse to let go what is still used; the others take the lower row away with the
 * upper one. A stack belongs to its image and to the rootfses that were made of it, so a rootfs is one row, whatever the number of its
 * layers, and outlives its image: `rootfs.image` is no foreign key, and an image that was forgotten and pulled again has another stack than the rootfses that
 * were made of it before. It is theirs all the same. A stack that nobody uses any more goes with the next prune.
 *
 * `stack.size` is the number of layers that it was made with: a stack of which a layer was forgotten has fewer rows than that.
 *
 * A container is the rootfses that bear its id: there is no row for it. Where a rootfs was mounted last stands in its three `mount_` columns, which are null
 * for one that is no mount, and for those of version 1.
 *
 * `image.use_order` is the generation in which an image was used last: what was used later has a greater one, however the clock jumped.
 *
 * `key` numbers stand in for digests of 71 characters where many rows point at one. A process is written as `newIdentity` gives it, a
 * time in milliseconds since the epoch, a stack from position 0 at the bottom. `image_document` stands apart because the last use of an
 * image is written when it is provisioned, and SQLite writes whole rows.
 */

/** Says in the file's header that it is ours: "prov". @see sqlite.org/fileformat.html, "Application ID" */
export const APPLICATION_ID = 0x70726f76;

/** Version 1, as a new store gets it. Frozen once released: later versions are steps in `migrations.ts`. */
export const FIRST_SCHEMA = `
CREATE TABLE state (
  records_lost INTEGER NOT NULL
) STRICT;
INSERT INTO state (records_lost) VALUES (0);

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

CREATE TABLE stack (
  key  INTEGER PRIMARY KEY,
  size INTEGER NOT NULL
) STRICT;

CREATE TABLE stack_layer (
  stack    INTEGER NOT NULL REFERENCES stack (key) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  layer    INTEGER NOT NULL REFERENCES layer (key),
  PRIMARY KEY (stack, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX stack_layer_by_layer ON stack_layer (layer);

-- The unique index on id also answers which images begin with some hex digits.
CREATE TABLE image (
  key           INTEGER PRIMARY KEY,
  id            TEXT    NOT NULL UNIQUE,
  media_type    TEXT    NOT NULL,
  config_digest TEXT    NOT NULL,
  platform      TEXT    NOT NULL,
  source        TEXT    NOT NULL,
  created_at    INTEGER NOT NULL,
  last_used_at  INTEGER NOT NULL,
  pinned        INTEGER NOT NULL,
  stack         INTEGER NOT NULL REFERENCES stack (key)
) STRICT;
CREATE INDEX image_by_stack ON image (stack);

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

CREATE TABLE pull (
  pull     TEXT NOT NULL PRIMARY KEY REFERENCES lease (pull) ON DELETE CASCADE,
  source   TEXT NOT NULL,
  platform TEXT NOT NULL,
  terms    TEXT NOT NULL,
  image    TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE pull_layer (
  pull     TEXT    NOT NULL REFERENCES pull (pull) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  layer    TEXT    NOT NULL,
  phase    TEXT    NOT NULL,
  bytes    INTEGER NOT NULL,
  total    INTEGER NOT NULL,
  PRIMARY KEY (pull, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE pull_outcome (
  source      TEXT    NOT NULL,
  platform    TEXT    NOT NULL,
  terms       TEXT    NOT NULL,
  pull        TEXT    NOT NULL,
  finished_at INTEGER NOT NULL,
  result      TEXT    NOT NULL,
  PRIMARY KEY (source, platform, terms)
) STRICT, WITHOUT ROWID;
CREATE INDEX pull_outcome_by_time ON pull_outcome (finished_at);
`;

/**
 * Version 2: what a blob held was written and never read; and where a rootfs is
 * mounted, of which nothing is known for those recorded before.
 */
export const SECOND_SCHEMA = `
DROP TABLE blob;

ALTER TABLE rootfs ADD COLUMN mount_boot TEXT;
ALTER TABLE rootfs ADD COLUMN mount_namespace TEXT;
ALTER TABLE rootfs ADD COLUMN mount_process TEXT;
`;

/**
 * Version 3: how far the records have come, and the order in which images were used, of which only times are known for those recorded before. A time that
 * is still to come tells nothing of it, so such an image counts as used before the others.
 */
export const THIRD_SCHEMA = `
ALTER TABLE state ADD COLUMN records_id TEXT;
ALTER TABLE state ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;

ALTER TABLE image ADD COLUMN use_order INTEGER NOT NULL DEFAULT 0;
UPDATE image SET use_order = ordered.place
  FROM (
    SELECT key, row_number() OVER (ORDER BY last_used_at <= unixepoch('now') * 1000, last_used_at, key) AS place FROM image
  ) AS ordered
  WHERE ordered.key = image.key;
UPDATE state SET generation = (SELECT count(*) FROM image);
`;
