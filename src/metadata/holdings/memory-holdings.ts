import type { MemoryLife } from '../memory/memory-life.js';
import type {
  HeldBy,
  HoldingChange,
  HoldingKey,
  HoldingRecord,
  HoldingRecords,
  HoldingsWanted,
  HoldingTaker,
  TakenHoldings,
  WantedHolding,
} from './holding-records.js';
import { chosenNames, requireOnce } from './wanted-names.js';

/** Holdings in memory, by kind and name. */
export class MemoryHoldings implements HoldingRecords {
  readonly #life: MemoryLife;
  readonly #holdings = new Map<string, HoldingRecord>();

  constructor(life: MemoryLife) {
    this.#life = life;
  }

  async takeHoldings(
    { holder, process, bootId }: HoldingTaker,
    wanted: readonly WantedHolding[],
  ): Promise<TakenHoldings> {
    this.#life.requireOpen();
    requireOnce(wanted);
    const taken: HoldingRecord[] = [];
    for (const wish of wanted) {
      const { kind, details } = wish;
      const chosen = chosenNames(wish, (name) => this.#holdings.get(keyOf({ kind, name })));
      if ('held' in chosen) return { held: chosen.held.map((one) => ({ ...one })) };
      for (const name of chosen.names) taken.push({ kind, name, holder, process, bootId, since: Date.now(), details });
    }
    for (const one of taken) this.#holdings.set(keyOf(one), one);
    return { taken: taken.map((one) => ({ ...one })) };
  }

  async changeHolding(key: HoldingKey, { from, holder, details }: HoldingChange): Promise<boolean> {
    this.#life.requireOpen();
    const holding = this.#holdings.get(keyOf(key));
    if (holding === undefined || (holding.holder ?? null) !== from) return false;
    this.#holdings.set(keyOf(key), {
      ...holding,
      holder: holder ?? holding.holder,
      details: details ?? holding.details,
    });
    return true;
  }

  async releaseHoldings(held: readonly HeldBy[]): Promise<void> {
    this.#life.requireOpen();
    for (const one of held) {
      if (this.#holdings.get(keyOf(one))?.holder === one.holder) this.#holdings.delete(keyOf(one));
    }
  }

  async listHoldings({ kind, holder }: HoldingsWanted = {}): Promise<HoldingRecord[]> {
    this.#life.requireOpen();
    return [...this.#holdings.values()]
      .filter((one) => (kind === undefined || one.kind === kind) && (holder === undefined || one.holder === holder))
      .sort((one, other) => compare(one.kind, other.kind) || compare(one.name, other.name))
      .map((one) => ({ ...one }));
  }
}

const keyOf = ({ kind, name }: HoldingKey): string => JSON.stringify([kind, name]);

/** By bytes, as SQLite does. */
const compare = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));
