import type { SqliteConnection } from './sqlite-connection.js';

/** Images and stacks are asked for again and again by one busy agent; more than this many different ones are not. */
const MOST_ENTRIES = 256;

/**
 * Answers of a connection, kept while nobody changes the database: SQLite tells whether another connection has committed anything, for a tenth of what a
 * record costs; what this connection itself changes must be told by `clear`.
 * @see sqlite.org/pragma.html, "data_version"
 */
export class SqliteCache {
  readonly #db: SqliteConnection;
  readonly #entries = new Map<string, unknown>();
  #version = -1;

  constructor(db: SqliteConnection) {
    this.#db = db;
  }

  /** Call it inside `read` or `write`. @param ask whose answer nobody may change; `undefined` is not kept */
  get<Answer>(key: string, ask: () => Answer): Answer {
    // A database that is read elsewhere may be exchanged for another one, whose versions are counted anew.
    if (this.#db.isReadOnly) return ask();
    const version = this.#db.value<number>('PRAGMA data_version') ?? -1;
    if (version !== this.#version || this.#entries.size >= MOST_ENTRIES) this.clear();
    this.#version = version;
    const known = this.#entries.get(key);
    if (known !== undefined) return known as Answer;
    const answer = ask();
    if (answer !== undefined) this.#entries.set(key, answer);
    return answer;
  }

  clear(): void {
    this.#entries.clear();
  }
}
