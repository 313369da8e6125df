import { copyFileSync, lstatSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ProvisionerError, systemCode } from '../../base/errors.js';
import { fileIdentity, isSameFile } from '../../base/file-identity.js';
import type { Database, SqliteDriver } from './drivers/sqlite-driver.js';
import { migrate, needsMigration } from './migrations.js';
import { requireNoOrphanedLog } from './orphaned-log.js';

/** Where in the file's header stands whether there is a write-ahead log: 2, twice, and 1 for none. @see sqlite.org/fileformat.html, "File format version numbers" */
const HEADER_VERSIONS = { at: 18, log: 2, noLog: 1 } as const;
/** Somebody may open or close the database elsewhere while it is copied; so often it is begun anew. */
const ATTEMPTS = 20;

interface Opened {
  readonly database: Database;
  /** Whether it still shows what is recorded. */
  readonly isCurrent: () => boolean;
}

/**
 * Opens the records where nothing can be written: on a read-only mount, or without the right to. Others may be writing them all the same, by another mount.
 *
 * | beside the file                    | because                                            | then                                          |
 * |------------------------------------|----------------------------------------------------|-----------------------------------------------|
 * | the log and its shared memory      | somebody has it open, or did when the machine died | SQLite reads all three, with its locks        |
 * | the log alone                      | a copy of a store that was in use                  | it is recovered in a copy, elsewhere          |
 * | neither                            | everybody has closed it                            | the file is all there is                      |
 *
 * SQLite opens only the first, since it would have to make the other files. (`immutable=1` would open each, and take no notice of a log.) So of the others, and of
 * records of an older release, which must be brought up to date before they can be read, a snapshot is taken into memory.
 * @see sqlite.org/wal.html, "Read-Only Databases"
 */
export class ReadOnlyDatabase {
  readonly #driver: SqliteDriver;
  readonly #path: string;
  #opened: Opened;

  /** @param path absolute @throws ProvisionerError `ERR_READ_ONLY` when there are no records, `ERR_STORE_DAMAGED` when there is their log alone, `ERR_STORE_FORMAT`; else as SQLite and Node's `fs` */
  constructor(driver: SqliteDriver, path: string) {
    this.#driver = driver;
    this.#path = path;
    this.#opened = this.#open();
  }

  get database(): Database {
    return this.#opened.database;
  }

  /** To be called before each look at it. @returns whether somebody has changed or replaced the records since, so that there is another database now */
  renew(): boolean {
    const { database, isCurrent } = this.#opened;
    if (isCurrent()) return false;
    this.#opened = this.#open();
    database.close();
    return true;
  }

  close(): void {
    this.#opened.database.close();
  }

  #open(): Opened {
    for (let attempt = 1; ; attempt++) {
      const file = fileIdentity(this.#path);
      const stamp = stampOf(this.#path);
      try {
        requireNoOrphanedLog(this.#path);
        const live = openLive(this.#driver, this.#path);
        // SQLite shows what others commit to this file, and nothing of one that is put in its place.
        if (live !== undefined) return { database: live, isCurrent: () => isSameFile(fileIdentity(this.#path), file) };
        const database = openSnapshot(this.#driver, this.#path);
        const isCurrent = () => stamp === stampOf(this.#path);
        if (isCurrent()) return { database, isCurrent };
        database.close();
      } catch (error) {
        // A log that has just been removed, or half of what somebody is writing.
        if (attempt === ATTEMPTS || stamp === stampOf(this.#path)) throw error;
      }
      if (attempt === ATTEMPTS) throw unsteady(this.#path);
    }
  }
}

/** @returns undefined when it must be copied to be read */
function openLive(driver: SqliteDriver, path: string): Database | undefined {
  if (sizeOf(`${path}-wal`) === undefined || sizeOf(`${path}-shm`) === undefined) return undefined;
  const database = driver.open(path, { readOnly: true });
  try {
    if (!needsMigration(database, path)) return database;
  } catch (error) {
    database.close();
    throw error;
  }
  database.close();
  return undefined;
}

function openSnapshot(driver: SqliteDriver, path: string): Database {
  const bytes = hasLog(path) ? recoveredElsewhere(driver, path) : readRecords(path);
  for (const at of [HEADER_VERSIONS.at, HEADER_VERSIONS.at + 1]) {
    if (bytes[at] === HEADER_VERSIONS.log) bytes[at] = HEADER_VERSIONS.noLog;
  }
  const database = driver.openCopy(bytes);
  try {
    migrate(database, path);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** What has been written and is not in the file itself: a log, or what a crash left before there were logs. */
function hasLog(path: string): boolean {
  return ['-wal', '-journal'].some((suffix) => (sizeOf(`${path}${suffix}`) ?? 0) > 0);
}

/** Recovery writes; it does so to a copy. */
function recoveredElsewhere(driver: SqliteDriver, path: string): Buffer {
  let place: string | undefined;
  try {
    place = mkdtempSync(join(tmpdir(), 'provisioner-records-'));
    const copy = join(place, basename(path));
    for (const suffix of ['', '-wal', '-journal']) {
      if (sizeOf(`${path}${suffix}`) !== undefined) copyFileSync(`${path}${suffix}`, `${copy}${suffix}`);
    }
    const database = driver.open(copy);
    try {
      database.exec('SELECT 1 FROM sqlite_schema; PRAGMA wal_checkpoint(TRUNCATE)');
    } finally {
      database.close();
    }
    return readFileSync(copy);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    throw new ProvisionerError(
      'ERR_READ_ONLY',
      `the records at ${path} have a log that cannot be read in ${tmpdir()}`,
      {
        cause: error,
        hint: 'a store that was not closed must be recovered to be read: let TMPDIR name a directory with room, or mount the store for writing',
        details: { path, temporary: tmpdir() },
      },
    );
  } finally {
    if (place !== undefined) rmSync(place, { recursive: true, force: true });
  }
}

function readRecords(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    throw new ProvisionerError('ERR_READ_ONLY', `the records are missing at ${path}, and none can be made there`, {
      cause: error,
      hint: 'put them back from a backup; or mount the store for writing, and it will be recovered as far as that goes',
      details: { path },
    });
  }
}

/** Changes with each commit: the log grows or is begun anew, and the file is written when that is. */
function stampOf(path: string): string {
  return ['', '-wal', '-shm', '-journal']
    .map((suffix) => {
      const status = lstatSync(`${path}${suffix}`, { bigint: true, throwIfNoEntry: false });
      return status === undefined ? '' : [status.ino, status.size, status.mtimeNs].join(':');
    })
    .join(' ');
}

function sizeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.size;
}

function unsteady(path: string): ProvisionerError {
  return new ProvisionerError('ERR_STORE_BUSY', `the records at ${path} changed each time that they were read`, {
    hint: 'another process is writing the store without a pause; try again',
    details: { path },
  });
}
