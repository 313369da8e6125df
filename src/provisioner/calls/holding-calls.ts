import { checkArgument, listOf, optionsOf, textOf, whole } from '../../base/options/check-options.js';
import type {
  HeldBy,
  HoldingChange,
  HoldingKey,
  HoldingRecord,
  HoldingsWanted,
  HoldingTaker,
  TakenHoldings,
  WantedHolding,
} from '../../metadata/holdings/holding-records.js';
import type { OpenStore } from '../open-store.js';
import type { Calls } from './calls.js';
import { json, KIND, nullOr } from './record-rules.js';

/** Who takes something in this process. */
export type NewHolder = Omit<HoldingTaker, 'process'>;

const DETAILS_MAX = 2 ** 16;
const NAME = textOf(1, 1024);
const HOLDER = textOf(1, 255);
const KEY = { kind: KIND, name: NAME };
const HOLDING_KEY = optionsOf<HoldingKey>(KEY, 'kind', 'name');
const HELD = optionsOf<HeldBy>({ ...KEY, holder: HOLDER }, 'kind', 'name');
const TAKER = optionsOf<NewHolder>({ holder: HOLDER, bootId: textOf(1, 255) }, 'bootId');
const WANTED = listOf(
  optionsOf<WantedHolding>(
    { kind: KIND, names: listOf(NAME), count: whole(0, 2 ** 20), details: json(DETAILS_MAX) },
    'kind',
    'names',
  ),
);
const CHANGE = optionsOf<HoldingChange>({ from: nullOr(HOLDER), holder: HOLDER, details: json(DETAILS_MAX) }, 'from');
const SELECTION = optionsOf<HoldingsWanted>({ kind: KIND, holder: HOLDER });

/**
 * What of this machine only one may have at a time: for what stands on a provisioner and gives it out. The store knows nothing of what is held; it keeps who has it, for all processes. Nothing is given back
 * by itself.
 */
export class HoldingCalls {
  readonly #store: OpenStore;
  readonly #calls: Calls;

  constructor(store: OpenStore, calls: Calls) {
    this.#store = store;
    this.#calls = calls;
  }

  /**
   * Takes all that is wanted, or nothing, in one step. On the disk before it returns.
   * @returns what was taken; or who has what could not be had
   */
  async take(holder: NewHolder, wanted: readonly WantedHolding[]): Promise<TakenHoldings> {
    return this.#calls.writing('hold something of this machine', async () => {
      checkArgument('holdings.take', 'holder', TAKER, holder);
      checkArgument('holdings.take', 'wanted', WANTED, wanted);
      const { metadata, liveness } = this.#store;
      return metadata.takeHoldings({ ...holder, process: liveness.identity }, wanted);
    });
  }

  /** Hands a holding over, or changes its details, if it is still with whom it is thought to be. @returns whether it was */
  async change(holding: HoldingKey, change: HoldingChange): Promise<boolean> {
    return this.#calls.freeing('hand something over', async () => {
      const { kind, name } = holding;
      checkArgument('holdings.change', 'holding', HOLDING_KEY, { kind, name });
      checkArgument('holdings.change', 'change', CHANGE, change);
      return this.#store.metadata.changeHolding({ kind, name }, change);
    });
  }

  /** Gives back what is still with whom it is thought to be. */
  async release(held: readonly HeldBy[]): Promise<void> {
    return this.#calls.freeing('give something back', async () => {
      // A record as it was listed says more.
      const those = held.map(({ kind, name, holder }) => ({ kind, name, holder }));
      checkArgument('holdings.release', 'held', listOf(HELD), those);
      return this.#store.metadata.releaseHoldings(those);
    });
  }

  /** Sorted by kind and name. */
  async list(wanted: HoldingsWanted = {}): Promise<HoldingRecord[]> {
    return this.#calls.looking(async () => {
      checkArgument('holdings.list', 'wanted', SELECTION, wanted);
      return this.#store.metadata.listHoldings(wanted);
    });
  }

  /** Whether the process that took something, or rather the provisioner in it, is still there. True in doubt. */
  isAlive({ process }: Pick<HoldingRecord, 'process'>): boolean {
    return this.#store.liveness.isAlive(process);
  }
}
