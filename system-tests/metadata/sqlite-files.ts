import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type BetterSqlite3 from 'better-sqlite3';
import { afterEach, beforeEach } from 'vitest';

/** SQLite itself, to look at a file behind the manager's back. */
export const Driver = createRequire(import.meta.url)('better-sqlite3') as typeof BetterSqlite3;

/** A new directory for each test. @returns the path of a database in it that does not exist yet */
export function databasePath(): () => string {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'provisioner-metadata-'));
  });
  afterEach(() => rm(directory, { recursive: true }));
  return () => join(directory, 'metadata.sqlite');
}

/** Opens the file, looks, and closes it. */
export function inspect<Answer>(path: string, look: (database: BetterSqlite3.Database) => Answer): Answer {
  const database = new Driver(path);
  try {
    return look(database);
  } finally {
    database.close();
  }
}

/** What SQLite finds wrong with a file; nothing for a sound one. */
export function faults(path: string): unknown[] {
  return inspect(path, (database) => [
    ...(database.pragma('integrity_check') as { integrity_check: string }[])
      .map((row) => row.integrity_check)
      .filter((text) => text !== 'ok'),
    ...(database.pragma('foreign_key_check') as unknown[]),
  ]);
}
