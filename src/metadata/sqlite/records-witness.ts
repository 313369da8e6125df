import { randomBytes } from 'node:crypto';
import { crashPoint } from '../../base/crash-points.js';
import { isProvisionerError } from '../../base/errors.js';
import type { RecordsGap } from '../state/records-state.js';
import { type Generation, GenerationFile } from './generation-file.js';
import type { SqliteConnection } from './sqlite-connection.js';
import { recordsDamaged } from './sqlite-errors.js';

/** What the records say of themselves. */
interface StateRow {
  /** Null until they have been compared with the file for the first time. */
  readonly recordsId: string | null;
  readonly generation: number;
  readonly gap: number;
}

/** How gaps are written in `state.records_lost`. */
const GAPS: readonly (RecordsGap | undefined)[] = [undefined, 'lost', 'older'];

export interface WitnessOptions {
  /** The file beside the records. Default: none, so that older records are not told. */
  readonly path: string | undefined;
  readonly durable: boolean;
  /** Whether the store has nothing in it that records could fail to name. */
  readonly isStoreEmpty: () => boolean;
}

/**
 * Holds the records against the file beside them (see `GenerationFile`).
 *
 *   records                    file                      which means
 *   never compared             not there, or just made    a new store, or one of an older release: the file is made
 *   never compared             says anything              older: new records, or a backup of an older release, in a store that has had others
 *   with an id                 not there, or another id   older: nothing vouches for them, or they are those of another store
 *   with an id, generation n   more than n                older: something was recorded after n that they do not know
 *   with an id, generation n   n, or less                 whole: a process died between its commit and its note
 *
 * Older ones get a new id and go on after what the file says, so that this is told once, as a gap in the records, and told again of the next backup.
 */
export class RecordsWitness {
  readonly #db: SqliteConnection;
  readonly #file: GenerationFile | undefined;
  readonly #options: WitnessOptions;

  constructor(db: SqliteConnection, options: WitnessOptions) {
    this.#db = db;
    this.#options = options;
    this.#file = options.path === undefined ? undefined : new GenerationFile(options.path);
  }

  /**
   * Compares, and records what came of it.
   * @returns `older` when that could not be recorded, as on a read-only file system; else what counts is in the records
   */
  async compare(): Promise<'older' | undefined> {
    if (this.#file === undefined) return undefined;
    // The file first: what it says then, the records have had before.
    const witnessed = this.#file.read();
    const recorded = await this.#db.read(() => readState(this.#db));
    const verdict = judge(recorded, witnessed);
    if (verdict === 'whole') {
      if (witnessed !== undefined && witnessed.generation < recorded.generation) this.#file.note(recorded.generation);
      return undefined;
    }
    try {
      const file = this.#file;
      file.note(await this.#db.write(() => this.#settle(file)));
      return undefined;
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_PERMISSION', 'ERR_READ_ONLY', 'ERR_NO_SPACE')) throw error;
      return verdict === 'older' && !this.#options.isStoreEmpty() ? 'older' : undefined;
    }
  }

  /** Why the records do not tell of everything. @throws ProvisionerError `ERR_STORE_DAMAGED` when they are not in their place any more */
  async gap(): Promise<RecordsGap | undefined> {
    this.#db.requireInPlace();
    const unrecorded = await this.compare();
    return (await this.#db.read(() => GAPS[readState(this.#db).gap])) ?? unrecorded;
  }

  /**
   * Writes something that it would hurt to lose, so that records without it are older.
   * @param change gets the generation of this commit @throws ProvisionerError `ERR_STORE_DAMAGED` when the records are not in their place any more
   */
  async write<Result>(change: (generation: number) => Result): Promise<Result> {
    const [result, generation] = await this.#db.write(() => {
      const generation = nextGeneration(this.#db);
      return [change(generation), generation] as const;
    });
    crashPoint('records.committed');
    this.#file?.note(generation);
    return result;
  }

  close(): void {
    this.#file?.close();
  }

  /** Inside a write transaction, so one process does it. The file comes first, and says what a crash before the commit leaves to be found out again. */
  #settle(file: GenerationFile): number {
    const witnessed = file.read();
    const recorded = readState(this.#db);
    const verdict = judge(recorded, witnessed);
    if (verdict === 'whole') return recorded.generation;
    const { durable, isStoreEmpty } = this.#options;
    const recordsId = randomBytes(16).toString('hex');
    const isOlder = verdict === 'older';
    const generation = isOlder ? Math.max(witnessed?.generation ?? 0, recorded.generation) + 1 : recorded.generation;
    file.begin({ recordsId, generation: isOlder ? generation : 0 }, durable);
    crashPoint('open.generationBegun');
    const gap = isOlder && recorded.gap === 0 && !isStoreEmpty() ? GAPS.indexOf('older') : recorded.gap;
    this.#db
      .statement<[string, number, number]>('UPDATE state SET records_id = ?, generation = ?, records_lost = ?')
      .run(recordsId, generation, gap);
    return generation;
  }
}

/** That of the commit that is being made. */
function nextGeneration(db: SqliteConnection): number {
  // Two statements: `RETURNING` makes a table for its answer, which takes as long as all the rest of a small commit.
  db.statement('UPDATE state SET generation = generation + 1').run();
  return db.value('SELECT generation FROM state') as number;
}

export function writeGap(db: SqliteConnection, gap: RecordsGap | undefined): void {
  db.statement<[number]>('UPDATE state SET records_lost = ?').run(GAPS.indexOf(gap));
}

function readState(db: SqliteConnection): StateRow {
  const state = db
    .statement<[], StateRow>('SELECT records_id AS recordsId, generation, records_lost AS gap FROM state')
    .get();
  if (state === undefined) throw recordsDamaged(db.path, 'do not say how far they have come');
  return state;
}

function judge(recorded: StateRow, witnessed: Generation | undefined): 'new' | 'whole' | 'older' {
  if (recorded.recordsId === null) return (witnessed?.generation ?? 0) === 0 ? 'new' : 'older';
  if (witnessed?.recordsId !== recorded.recordsId) return 'older';
  return witnessed.generation > recorded.generation ? 'older' : 'whole';
}
