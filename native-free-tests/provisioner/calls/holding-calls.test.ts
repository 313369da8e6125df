import { describe, expect, it } from 'vitest';
import { openMemoryStore } from '../../helpers/memory-store.js';

const mine = { holder: 'a'.repeat(32), bootId: 'boot' };

describe('what only one may have at a time', () => {
  it('is taken in the name of this process, listed, handed over and given back', async () => {
    const p = await openMemoryStore();
    await p.holdings.take({ bootId: 'boot' }, [{ kind: 'namespace', names: ['n1'] }]);
    const [one] = await p.holdings.list({ kind: 'namespace' });
    if (one === undefined) throw new Error('nothing is held');
    expect(p.holdings.isAlive(one)).toBe(true);
    expect(await p.holdings.change(one, { from: null, holder: 'b' })).toBe(true);
    await p.holdings.release([one]);
    expect(await p.holdings.list()).toMatchObject([{ name: 'n1', holder: 'b' }]);
    await p.holdings.release(await p.holdings.list());
    expect(await p.holdings.list()).toEqual([]);
  });

  it('is not taken where somebody has it, and who that is is told', async () => {
    const p = await openMemoryStore();
    await p.holdings.take(mine, [{ kind: 'cpu', names: ['0'] }]);
    expect(await p.holdings.take({ ...mine, holder: 'b' }, [{ kind: 'cpu', names: ['0'] }])).toMatchObject({
      held: [{ name: '0', holder: mine.holder }],
    });
  });

  it('whoever is not there any more is not alive', async () => {
    const p = await openMemoryStore();
    expect(p.holdings.isAlive({ process: `${'f'.repeat(32)}.1` })).toBe(false);
  });

  it.each<[string, () => object[]]>([
    ['a kind that is no word', () => [{ kind: 'No Word', names: ['0'] }]],
    ['a name that is empty', () => [{ kind: 'cpu', names: [''] }]],
    ['details that are no JSON', () => [{ kind: 'cpu', names: ['0'], details: '{' }]],
    ['a count that is none', () => [{ kind: 'cpu', names: ['0'], count: -1 }]],
    ['an option that is unknown', () => [{ kind: 'cpu', names: ['0'], until: 1 }]],
  ])('%s is refused', async (_, wanted) => {
    const p = await openMemoryStore();
    await expect(p.holdings.take(mine, wanted() as never)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    expect(await p.holdings.list()).toEqual([]);
  });
});
