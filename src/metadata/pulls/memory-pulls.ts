import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { MemoryLeases } from '../leases/memory-leases.js';
import type { MemoryLife } from '../memory/memory-life.js';
import {
  type FoundPulls,
  type NewPull,
  OUTCOME_KEPT,
  type PullAnnouncement,
  type PullKey,
  type PullOutcome,
  type PullRecord,
  type PullRecords,
  type PullReport,
  type PullResult,
} from './pull-records.js';

type StoredPull = Omit<PullRecord, 'since'>;

/** The records of pulls in memory. A pull whose lease is closed is gone. */
export class MemoryPulls implements PullRecords {
  readonly #life: MemoryLife;
  readonly #leases: MemoryLeases;
  readonly #pulls = new Map<string, StoredPull>();
  readonly #outcomes = new Map<string, PullOutcome>();

  constructor(life: MemoryLife, leases: MemoryLeases) {
    this.#life = life;
    this.#leases = leases;
  }

  async announcePull(pull: NewPull, isAlive: (process: ProcessIdentity) => boolean): Promise<PullAnnouncement> {
    this.#life.requireOpen();
    const same = this.#running((other) => isSame(other, pull) && other.terms === pull.terms);
    const living = same.find((other) => isAlive(other.process));
    if (living !== undefined) return { state: 'busy', pull: living };
    const replaced = same.map((other) => other.pull);
    for (const other of replaced) this.#leases.end(other);
    this.#leases.begin(pull.pull, pull.process);
    this.#pulls.set(pull.pull, { ...pull, image: undefined, layers: [] });
    return { state: 'announced', replaced };
  }

  async reportPull(pull: string, { image, layers }: PullReport): Promise<void> {
    this.#life.requireOpen();
    const known = this.#leases.get(pull) && this.#pulls.get(pull);
    if (known !== undefined) this.#pulls.set(pull, { ...known, image, layers: layers.map((layer) => ({ ...layer })) });
  }

  async finishPull(pull: string, result: PullResult, finishedAt: number = Date.now()): Promise<void> {
    this.#life.requireOpen();
    const known = this.#leases.get(pull) && this.#pulls.get(pull);
    if (known === undefined) return;
    this.#leases.end(pull);
    this.#pulls.delete(pull);
    for (const [key, outcome] of this.#outcomes) {
      // Those of a time when the clock was far ahead, too: they would stay until it has come there.
      if (Math.abs(outcome.finishedAt - finishedAt) > OUTCOME_KEPT) this.#outcomes.delete(key);
    }
    const { source, platform, terms } = known;
    this.#outcomes.set(JSON.stringify([source, platform, terms]), {
      source,
      platform,
      terms,
      pull,
      finishedAt,
      result: structuredClone(result),
    });
  }

  async findPulls(image: Pick<PullKey, 'source' | 'platform'>): Promise<FoundPulls> {
    this.#life.requireOpen();
    const outcomes = [...this.#outcomes.values()].filter((outcome) => isSame(outcome, image));
    return {
      running: this.#running((pull) => isSame(pull, image)),
      outcomes: outcomes.sort((one, other) => other.finishedAt - one.finishedAt || (one.pull < other.pull ? -1 : 1)),
    };
  }

  async listPulls(): Promise<PullRecord[]> {
    this.#life.requireOpen();
    return this.#running(() => true);
  }

  #running(wanted: (pull: StoredPull) => boolean): PullRecord[] {
    const found: PullRecord[] = [];
    for (const [id, pull] of this.#pulls) {
      const lease = this.#leases.get(id);
      if (lease === undefined) this.#pulls.delete(id);
      else if (wanted(pull)) found.push({ ...pull, since: lease.since });
    }
    return found.sort((one, other) => one.since - other.since || (one.pull < other.pull ? -1 : 1));
  }
}

function isSame(one: Pick<PullKey, 'source' | 'platform'>, other: Pick<PullKey, 'source' | 'platform'>): boolean {
  return one.source === other.source && one.platform === other.platform;
}
