import type { Migration } from '../sqlite/migration.js';

/**
 *   image            key · id · media_type · config_digest · platform · source · created_at · last_used_at · pinned · stack → stack
 *   │                  · use_order
 *   ├── image_document   image → · manifest · config
 *   ├── image_name       name · image →
 *   └── index_choice     digest · platform · image →     what an index of several platforms holds for one of them
 *
 *   stack            key · size
 *   └── stack_layer      stack → · position · layer → layer
 *
 * A stack belongs to its image and to the rootfses that were made of it. One that nobody uses any more goes with the next prune. `stack.size` is the number of
 * layers that it was made with: a stack of which a layer was forgotten has fewer rows than that.
 *
 * `image.use_order` is the generation in which an image was used last: what was used later has a greater one, however the clock jumped. The unique index on
 * `image.id` also answers which images begin with some hex digits. `image_document` stands apart because the last use of an image is written when it is
 * provisioned, and SQLite writes whole rows.
 */
export const IMAGE_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
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
`,
  },
  {
    // The order in which images were used, of which only times are known for those recorded before. A time that is still to come tells nothing of it, so
    // such an image counts as used before the others.
    version: 3,
    sql: `
ALTER TABLE image ADD COLUMN use_order INTEGER NOT NULL DEFAULT 0;
UPDATE image SET use_order = ordered.place
  FROM (
    SELECT key, row_number() OVER (ORDER BY last_used_at <= unixepoch('now') * 1000, last_used_at, key) AS place FROM image
  ) AS ordered
  WHERE ordered.key = image.key;
`,
  },
];
