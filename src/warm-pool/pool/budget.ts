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
  readonly floor: number;
  readonly cost: Cost;
  giveUp(reason: RetireReason): boolean;
}

/** Shares what there is among pools: what one keeps above its least goes before another one has less than that. */
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

  /** Whether one more may be made for a pool. Where not, and it has less than its least, another one gives something up for it, which frees the room in a moment. */
  readonly mayCreate = (member: BudgetMember): boolean => {
    if (this.#hasRoomFor(1)) return true;
    if (member.size + member.creators < member.floor) this.#free(member);
    return false;
  };

  /** What takes more by now than there is: the pools that keep most above their least give up some, and then the largest. */
  enforce(): void {
    while (!this.#hasRoomFor(0) && (this.#free(undefined) || this.#largest()?.giveUp('budget') === true));
  }

  #hasRoomFor(more: number): boolean {
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
    return count + more <= containers && taken('memory') <= memoryBytes && taken('disk') <= diskBytes;
  }

  #free(beneficiary: BudgetMember | undefined): boolean {
    const above = [...this.#members].filter((one) => one !== beneficiary && one.size > one.floor);
    const [most] = above.sort((one, other) => other.size - other.floor - (one.size - one.floor));
    return most?.giveUp('budget') ?? false;
  }

  #largest(): BudgetMember | undefined {
    return [...this.#members].sort((one, other) => other.size - one.size)[0];
  }
}
