import type { Cost, RetireReason } from './pool-source.js';

/** What all pools together may take while they wait. What is left out has no limit. */
export interface PoolBudget {
  readonly containers?: number | undefined;
  /** What the kernel counts for those that wait. */
  readonly memoryBytes?: number | undefined;
  /** Of their root filesystems, beside what they share with images. */
  readonly diskBytes?: number | undefined;
}

/** A pool, as the budget sees it. */
export interface BudgetMember {
  readonly size: number;
  readonly creators: number;
  /** So many are its due: its least, and one for each who waits. */
  readonly floor: number;
  readonly cost: Cost;
  giveUp(reason: RetireReason): boolean;
}

type Scarce = 'containers' | keyof Cost;

/** Shares what there is among pools: what one keeps above its due goes before another one has less than that. */
export class Budget {
  readonly #limits: PoolBudget;
  readonly #members = new Set<BudgetMember>();

  constructor(limits: PoolBudget) {
    this.#limits = limits;
  }

  /** @returns takes it out again */
  add(member: BudgetMember): () => void {
    this.#members.add(member);
    return () => void this.#members.delete(member);
  }

  /**
   * Whether one more may be made for a pool. Where not, and it has less than its due, another one gives something up for it, which frees the room in a moment; that room is kept for it, also when the other one asks
   * first.
   */
  readonly mayCreate = (member: BudgetMember): boolean => {
    const lacks = lackOf(member) > 0;
    const others = [...this.#members].filter((one) => one !== member);
    const owed = lacks ? 0 : others.reduce((sum, one) => sum + lackOf(one), 0);
    const scarce = this.#scarceWith(1 + owed);
    if (scarce !== undefined && lacks) this.#free(scarce, member);
    return scarce === undefined;
  };

  /** What takes more by now than there is: of the pools that take some of it those give up that keep most above their due, and then the largest. */
  enforce(): void {
    for (let scarce = this.#scarceWith(0); scarce !== undefined; scarce = this.#scarceWith(0)) {
      if (!this.#free(scarce) && this.#largest(scarce)?.giveUp('budget') !== true) return;
    }
  }

  /** What there would be too little of with so many more. */
  #scarceWith(more: number): Scarce | undefined {
    const { containers = Infinity, memoryBytes = Infinity, diskBytes = Infinity } = this.#limits;
    const members = [...this.#members];
    const ready = members.reduce((sum, { size }) => sum + size, 0);
    const count = ready + members.reduce((sum, { creators }) => sum + creators, 0);
    const costs = members.map(({ cost }) => cost);
    // Those that are being made will take as much as the others.
    const taken = (of: keyof Cost) => {
      const now = costs.reduce((sum, cost) => sum + cost[of], 0);
      return ready === 0 ? now : (now / ready) * (count + more);
    };
    if (count + more > containers) return 'containers';
    if (taken('memory') > memoryBytes) return 'memory';
    return taken('disk') > diskBytes ? 'disk' : undefined;
  }

  #free(scarce: Scarce, beneficiary?: BudgetMember): boolean {
    const above = this.#takersOf(scarce).filter((one) => one !== beneficiary && one.size > one.floor);
    const [most] = above.sort((one, other) => other.size - other.floor - (one.size - one.floor));
    return most?.giveUp('budget') ?? false;
  }

  #largest(scarce: Scarce): BudgetMember | undefined {
    return this.#takersOf(scarce).sort((one, other) => other.size - one.size)[0];
  }

  #takersOf(scarce: Scarce): BudgetMember[] {
    return [...this.#members].filter((one) => scarce === 'containers' || one.cost[scarce] > 0);
  }
}

/** How many a pool has less than its due. */
const lackOf = ({ size, creators, floor }: BudgetMember): number => Math.max(0, floor - size - creators);
