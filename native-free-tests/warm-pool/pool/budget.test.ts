import { describe, expect, it } from 'vitest';
import { Budget, type BudgetMember } from '#src/warm-pool/pool/budget.js';
import type { PoolSize } from '#src/warm-pool/pool/sizing.js';
import { SteppedClock } from '../../helpers/fake-containers/fake-clock.js';
import { poolOf, ScriptedSource, settled } from './scripted-source.js';

interface Member extends BudgetMember {
  size: number;
  creators: number;
  floor: number;
  gaveUp: number;
}

/** @param each bytes that one of them takes */
function memberOf(size: number, floor: number, each = { memory: 0, disk: 0 }): Member {
  return {
    ...{ size, floor, creators: 0, gaveUp: 0 },
    get cost() {
      return { memory: this.size * each.memory, disk: this.size * each.disk };
    },
    giveUp() {
      if (this.size === 0) return false;
      this.size--;
      this.gaveUp++;
      return true;
    },
  };
}

function budgetOf(limits: ConstructorParameters<typeof Budget>[0], ...members: Member[]) {
  const budget = new Budget(limits);
  for (const member of members) budget.add(member);
  return budget;
}

describe('a budget', () => {
  it('without limits lets all be made', () => {
    const one = memberOf(10_000, 0, { memory: 2 ** 40, disk: 2 ** 40 });
    const budget = budgetOf({}, one);
    expect(budget.mayCreate(one)).toBe(true);
    budget.enforce();
    expect(one.gaveUp).toBe(0);
  });

  it('counts what is ready and what is being made, of all pools', () => {
    const [one, other] = [memberOf(1, 0), memberOf(1, 0)];
    const budget = budgetOf({ containers: 4 }, one, other);
    expect(budget.mayCreate(one)).toBe(true);
    one.creators = 1;
    expect(budget.mayCreate(other)).toBe(true);
    other.creators = 1;
    expect([budget.mayCreate(one), budget.mayCreate(other)]).toEqual([false, false]);
    expect([one.gaveUp, other.gaveUp]).toEqual([0, 0]);
  });

  it('forgets a pool that has left it', () => {
    const [one, other] = [memberOf(2, 0), memberOf(0, 0)];
    const budget = new Budget({ containers: 2 });
    const leave = budget.add(one);
    budget.add(other);
    expect(budget.mayCreate(other)).toBe(false);
    leave();
    expect(budget.mayCreate(other)).toBe(true);
  });

  it('reckons that what is being made takes as much as what is ready', () => {
    const one = memberOf(2, 0, { memory: 100, disk: 10 });
    expect(budgetOf({ memoryBytes: 300 }, one).mayCreate(one)).toBe(true);
    expect(budgetOf({ memoryBytes: 299 }, one).mayCreate(one)).toBe(false);
    expect(budgetOf({ diskBytes: 29 }, one).mayCreate(one)).toBe(false);
    one.creators = 1;
    expect(budgetOf({ memoryBytes: 300 }, one).mayCreate(one)).toBe(false);
    expect(budgetOf({ memoryBytes: 400 }, one).mayCreate(one)).toBe(true);
  });

  it('has one that keeps more than its least give up some for one that has less than that', () => {
    const [rich, richer, poor] = [memberOf(3, 2), memberOf(4, 2), memberOf(0, 1)];
    const budget = budgetOf({ containers: 7 }, rich, richer, poor);
    expect(budget.mayCreate(poor)).toBe(false);
    expect([rich.gaveUp, richer.gaveUp]).toEqual([0, 1]);
    expect(budget.mayCreate(poor)).toBe(true);
  });

  it('takes nothing from those who have their least, or less', () => {
    const [one, other, poor] = [memberOf(2, 2), memberOf(1, 2), memberOf(0, 1)];
    const budget = budgetOf({ containers: 3 }, one, other, poor);
    expect(budget.mayCreate(poor)).toBe(false);
    expect([one.gaveUp, other.gaveUp]).toEqual([0, 0]);
  });

  it('takes from nobody for what is more than the least', () => {
    const [one, other] = [memberOf(4, 0), memberOf(1, 1)];
    const budget = budgetOf({ containers: 5 }, one, other);
    expect(budget.mayCreate(other)).toBe(false);
    expect(one.gaveUp).toBe(0);
  });

  it('keeps room for those who have less than their least, before others have more than that', () => {
    const [greedy, poor] = [memberOf(3, 0), memberOf(0, 2)];
    const budget = budgetOf({ containers: 4 }, greedy, poor);
    expect(budget.mayCreate(greedy)).toBe(false);
    expect(budget.mayCreate(poor)).toBe(true);
    poor.creators = 1;
    expect(budget.mayCreate(poor)).toBe(false);
    expect(greedy.gaveUp).toBe(1);
    // What was given up for him is his.
    expect(budget.mayCreate(greedy)).toBe(false);
    expect(budget.mayCreate(poor)).toBe(true);
  });

  it('that is exceeded is kept to again: what is above the least goes first, and of that the most', () => {
    const [one, other, third] = [memberOf(5, 1), memberOf(3, 2), memberOf(1, 1)];
    budgetOf({ containers: 6 }, one, other, third).enforce();
    expect([one.size, other.size, third.size]).toEqual([2, 3, 1]);
  });

  it('that is less than the least of all is kept to all the same, by the largest', () => {
    const [one, other] = [memberOf(4, 4), memberOf(2, 2)];
    budgetOf({ containers: 3 }, one, other).enforce();
    expect([one.size, other.size]).toEqual([1, 2]);
  });

  it('of memory that one pool exceeds takes nothing from pools that have no memory', () => {
    const [heavy, light] = [memberOf(2, 2, { memory: 100, disk: 0 }), memberOf(9, 0)];
    budgetOf({ memoryBytes: 150 }, heavy, light).enforce();
    expect([heavy.size, light.size]).toEqual([1, 9]);
  });

  it('that nothing keeps to, since nothing is ready, ends', () => {
    const one = memberOf(0, 2);
    one.creators = 9;
    budgetOf({ containers: 1, memoryBytes: 0 }, one).enforce();
    expect(one.gaveUp).toBe(0);
  });
});

describe('pools under one budget', () => {
  function budgetForPools(containers: number) {
    const budget = new Budget({ containers });
    const clock = new SteppedClock();
    let pools = 0;
    const begin = async (size: PoolSize) => {
      const made = poolOf({ size, mayCreate: budget.mayCreate }, new ScriptedSource(`p${++pools}-`), clock);
      budget.add(made.pool);
      made.pool.refill();
      await settled();
      return made.pool;
    };
    return { budget, begin };
  }

  it('never have more than it together, however often something is taken of them', async () => {
    const { begin } = budgetForPools(5);
    const pools = [await begin({ min: 3, max: 3 }), await begin({ min: 3, max: 3 })];
    expect(pools.map(({ size }) => size)).toEqual([3, 2]);
    for (let times = 0; times < 6; times++) {
      await pools[times % 2]?.get('me');
      expect(pools.reduce((sum, { size, creators }) => sum + size + creators, 0)).toBeLessThanOrEqual(5);
      await settled();
    }
  });

  it('share: one that has grown makes room for one that begins, and does not take that back', async () => {
    const { budget, begin } = budgetForPools(4);
    const grown = await begin({ min: 0, max: 4, grow: { by: 4 } });
    await grown.get('me');
    await settled();
    expect(grown.size).toBe(4);
    const pools = [grown, await begin({ min: 2, max: 2 })];
    // As all of them are looked at again and again.
    for (let looks = 0; looks < 4; looks++) {
      for (const pool of pools) await pool.look(() => false);
      budget.enforce();
      await settled();
    }
    expect(pools.map(({ size }) => size)).toEqual([2, 2]);
  });

  it('share: whoever waits gets what others keep above their least', async () => {
    const { begin } = budgetForPools(3);
    const grown = await begin({ min: 0, max: 3, grow: { by: 3 } });
    await grown.get('me');
    await settled();
    expect(grown.size).toBe(3);
    const other = await begin({ min: 0, max: 2 });
    const got = other.get('me', { timeout: Number.POSITIVE_INFINITY });
    for (let looks = 0; looks < 4; looks++) {
      for (const pool of [grown, other]) await pool.look(() => false);
      await settled();
    }
    expect(await Promise.race([got, settled().then(() => 'nothing')])).toBe('p2-1');
  });
});
