import { describe, expect, it } from 'vitest';
import { MemoryBudget } from '#src/workers/memory-budget.js';

function budgetOf(bytes: number) {
  const budget = new MemoryBudget<string>(bytes);
  const granted: string[] = [];
  return {
    granted,
    take: (owner: string, wanted: number) => budget.take(owner, wanted, () => granted.push(owner)),
    giveBack: (owner: string) => budget.giveBack(owner),
  };
}

describe('memory that threads share', () => {
  it('is given out as long as there is some, and then as it comes back', () => {
    const { granted, take, giveBack } = budgetOf(100);
    take('a', 60);
    take('b', 40);
    take('c', 50);
    expect(granted).toEqual(['a', 'b']);
    giveBack('b');
    expect(granted).toEqual(['a', 'b']);
    giveBack('a');
    expect(granted).toEqual(['a', 'b', 'c']);
  });

  it('goes to who came first, so that a large need is not put off for ever', () => {
    const { granted, take, giveBack } = budgetOf(100);
    take('a', 60);
    take('large', 100);
    take('small', 10);
    expect(granted).toEqual(['a']);
    giveBack('a');
    expect(granted).toEqual(['a', 'large']);
    giveBack('large');
    expect(granted).toEqual(['a', 'large', 'small']);
  });

  it('is given to a need beyond all of it, when nobody else has any', () => {
    const { granted, take, giveBack } = budgetOf(100);
    take('a', 1);
    take('giant', 500);
    expect(granted).toEqual(['a']);
    giveBack('a');
    expect(granted).toEqual(['a', 'giant']);
    take('b', 1);
    expect(granted).toEqual(['a', 'giant']);
    giveBack('giant');
    expect(granted).toEqual(['a', 'giant', 'b']);
  });

  it('is given to the next ones when one who waits gives up', () => {
    const { granted, take, giveBack } = budgetOf(100);
    take('a', 60);
    take('large', 100);
    take('small', 10);
    giveBack('large');
    expect(granted).toEqual(['a', 'small']);
    giveBack('small');
    giveBack('a');
    expect(granted).toEqual(['a', 'small']);
  });

  it('never exceeds its bounds, in any order of takes and gives', () => {
    let state = 5;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const budget = new MemoryBudget<number>(100);
    const held = new Map<number, number>();
    const asked = new Set<number>();
    for (let step = 0; step < 5000; step++) {
      const owner = random(8);
      if (asked.has(owner)) {
        asked.delete(owner);
        held.delete(owner);
        budget.giveBack(owner);
      } else {
        asked.add(owner);
        const bytes = 1 + random(150);
        budget.take(owner, bytes, () => held.set(owner, bytes));
      }
      const total = [...held.values()].reduce((sum, bytes) => sum + bytes, 0);
      expect(total <= 100 || held.size === 1).toBe(true);
      expect(held.size > 0 || asked.size === 0).toBe(true);
    }
  });
});
