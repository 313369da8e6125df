import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Database, SqliteDriver, Statement } from './sqlite-driver.js';

/** What is used of Node's module, which the oldest Node.js that this runs on does not have. @see nodejs.org/api/sqlite.html */
interface NodeSqlite {
  readonly DatabaseSync: new (path: string, options: { readonly readOnly: boolean }) => DatabaseSync;
}

interface DatabaseSync extends Omit<Database, 'inTransaction'> {
  /** From Node.js 22.16 on. */
  readonly isTransaction?: boolean;
}

/** SQLite as Node.js brings it, from 22.13 on. @throws Error when this one does not */
export function loadNodeSqlite(): SqliteDriver {
  const { DatabaseSync } = withoutWarnings(requireNodeSqlite);
  const open = (path: string, readOnly = false) => new NodeDatabase(new DatabaseSync(path, { readOnly }));
  return {
    place: { module: 'node:sqlite', file: undefined },
    open(path, { readOnly, mustExist = false } = {}) {
      // It has no option for that. Who deletes the file right after the look finds an empty one.
      if (mustExist && !existsSync(path)) throw new Error(`there is no ${path}`);
      return open(path, readOnly);
    },
    openCopy(bytes) {
      const place = mkdtempSync(join(tmpdir(), 'provisioner-records-'));
      const remove = () => rmSync(place, { recursive: true, force: true });
      try {
        const path = join(place, 'copy.sqlite');
        writeFileSync(path, bytes, { mode: 0o600 });
        const copy = open(path);
        copy.exec('PRAGMA journal_mode = MEMORY; PRAGMA temp_store = MEMORY');
        // It needs no name any more, and nothing is left of it, however this process ends.
        if (process.platform === 'win32') copy.onClosed = remove;
        else remove();
        return copy;
      } catch (error) {
        remove();
        throw error;
      }
    },
    prepareValue(database, sql) {
      const statement = database.prepare<[], object>(sql);
      return () => Object.values(statement.get() ?? {})[0];
    },
  };
}

class NodeDatabase implements Database {
  onClosed: (() => void) | undefined;
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  get inTransaction(): boolean {
    return this.#database.isTransaction ?? !this.#couldBegin();
  }

  prepare<Parameters extends unknown[], Row>(sql: string): Statement<Parameters, Row> {
    return this.#database.prepare(sql);
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  close(): void {
    this.#database.close();
    this.onClosed?.();
  }

  /** There is no transaction in another one. This one takes no lock. */
  #couldBegin(): boolean {
    try {
      this.#database.exec('BEGIN DEFERRED; ROLLBACK');
      return true;
    } catch {
      return false;
    }
  }
}

function requireNodeSqlite(): NodeSqlite {
  const found: unknown = process.getBuiltinModule('node:sqlite');
  if (found === undefined) throw new Error(`Node.js ${process.versions.node} brings no SQLite`);
  return found as NodeSqlite;
}

/** Node tells with each start that its module may change, and tells people who can do nothing about that. */
function withoutWarnings<Result>(load: () => Result): Result {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
