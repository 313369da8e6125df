import { setImmediate } from 'node:timers/promises';
import type { RecordsWitness } from './records-witness.js';
import { SqliteCache } from './sqlite-cache.js';
import type { SqliteConnection } from './sqlite-connection.js';

/** A page takes some milliseconds, a portion too. What has a stack has perhaps ten layers. */
export const STACKS_PER_PAGE = 250;
export const ROWS_PER_PAGE = 1000;
const ROWS_PER_PORTION = 500;

/** Runs work that frees space, and on a full disk again, with room made for it. */
export type Freeing = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * The database as the sections use it together, with what all of them must keep to: one cache, which a change empties, and one witness, which is told of each
 * commit that it would hurt to lose.
 *
 * | what is done                                             | by                               |
 * |----------------------------------------------------------|----------------------------------|
 * | a question of one statement                              | `connection.read`                |
 * | a change that touches neither images nor stacks          | `connection.write`               |
 * | a change that only living processes need                 | `connection.writeForTheLiving`   |
 * | something new that would be missed                       | `witness.write`                  |
 * | the same, of images or stacks, which the cache may hold  | `addition`                       |
 * | any other change of images or stacks                     | `change`                         |
 * | a long answer, a long removal                            | `pages`, `portions`              |
 *
 * What frees space, or lets go of what somebody waits for, is done within `freeing`: what went before it is then not begun anew for want of room for the record.
 */
export class RecordsDatabase {
  readonly connection: SqliteConnection;
  readonly witness: RecordsWitness;
  readonly cache: SqliteCache;
  readonly freeing: Freeing;

  constructor(connection: SqliteConnection, witness: RecordsWitness, freeing: Freeing = (work) => work()) {
    this.connection = connection;
    this.witness = witness;
    this.freeing = freeing;
    this.cache = new SqliteCache(connection);
  }

  /** A write of what is kept of images and stacks, and would be missed. @param change gets the generation of this commit */
  async addition<Result>(change: (generation: number) => Result): Promise<Result> {
    return this.witness.write((generation) => {
      this.cache.clear();
      return change(generation);
    });
  }

  /** A write that changes what is kept of images and stacks. */
  async change<Result>(change: () => Result): Promise<Result> {
    return this.connection.write(() => {
      this.cache.clear();
      return change();
    });
  }

  /** A long removal in portions, each a transaction, with a turn for others between them. @param change does at most so much, and tells how much */
  async portions(change: (limit: number) => number): Promise<void> {
    const portion = () => this.freeing(() => this.connection.write(() => change(ROWS_PER_PORTION)));
    while ((await portion()) === ROWS_PER_PORTION) await setImmediate();
  }

  /** A long answer in pages, with a turn for others between them. What is written meanwhile may be in it or not. */
  async pages<Row>(limit: number, page: (last: Row | undefined, limit: number) => Row[]): Promise<Row[]> {
    const rows: Row[] = [];
    for (;;) {
      const next = await this.connection.read(() => page(rows.at(-1), limit));
      for (const row of next) rows.push(row);
      if (next.length < limit) return rows;
      await setImmediate();
    }
  }
}
