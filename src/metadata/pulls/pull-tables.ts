import type { Migration } from '../sqlite/migration.js';

/**
 *   lease
 *   └── pull             pull → · source · platform · terms · image       what is pulled, for others who want the same
 *       └── pull_layer       pull → · position · layer · phase · bytes · total       how far it is, once a second
 *   pull_outcome     source · platform · terms · pull · finished_at · result         JSON; kept for an hour
 */
export const PULL_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
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
`,
  },
];
