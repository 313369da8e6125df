import type { Migration } from '../sqlite/migration.js';

/**
 *   launch           id · container · owner · state · boot · created_at · started_at · finished_at · spec · place · exit · removal
 *   launch_event     sequence · at · container · launch · owner · kind · details
 *
 * A container has one row in `launch`, and need not have a rootfs: a launch is recorded before that is made. Nothing points at either table, nor do they point
 * anywhere: an event outlives its launch. Sequence numbers come from SQLite, which gives the largest one plus 1; the newest event is never removed, so none comes twice.
 */
export const LAUNCH_MIGRATIONS: readonly Migration[] = [
  {
    version: 5,
    sql: `
CREATE TABLE launch (
  id          TEXT    NOT NULL PRIMARY KEY,
  container   TEXT    NOT NULL,
  owner       TEXT    NOT NULL,
  state       TEXT    NOT NULL CHECK (state IN ('starting', 'created', 'running', 'paused', 'undead', 'exited')),
  boot        TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  started_at  INTEGER,
  finished_at INTEGER,
  spec        TEXT    NOT NULL,
  place       TEXT,
  exit        TEXT,
  removal     TEXT    NOT NULL CHECK (removal IN ('keep', 'remove')),
  CHECK ((state = 'exited') = (finished_at IS NOT NULL)),
  CHECK (state <> 'exited' OR exit IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX launch_of_container ON launch (container);

CREATE TABLE launch_event (
  sequence  INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  container TEXT    NOT NULL,
  launch    TEXT,
  owner     TEXT    NOT NULL,
  kind      TEXT    NOT NULL,
  details   TEXT
) STRICT;
`,
  },
];
