import { describe, expect, it } from 'vitest';
import { type MetadataContractContext, ours, setClock, theirs } from './metadata-records.js';

export function holdingContract(context: MetadataContractContext): void {
  const taker = (holder?: string, process = ours) => ({ holder, process, bootId: 'boot-1' });
  const names = async (holder?: string) =>
    (await context.manager.listHoldings({ holder })).map(({ kind, name }) => `${kind} ${name}`);

  describe('holdings', () => {
    it('what was taken tells who has it, who took it, when, in which boot, and what for', async () => {
      const { manager } = context;
      setClock(1000);
      const wanted = [{ kind: 'port', names: ['80/tcp'], details: '{"to":8080}' }];
      const record = { kind: 'port', name: '80/tcp', holder: 'a', process: ours, bootId: 'boot-1', since: 1000 };
      const held = [{ ...record, details: '{"to":8080}' }];
      expect(await manager.takeHoldings(taker('a'), wanted)).toEqual({ taken: held });
      expect(await manager.listHoldings()).toEqual(held);
      await manager.takeHoldings(taker(undefined, theirs), [{ kind: 'network', names: ['n'] }]);
      expect(await manager.listHoldings({ kind: 'network' })).toEqual([
        {
          kind: 'network',
          name: 'n',
          holder: undefined,
          process: theirs,
          bootId: 'boot-1',
          since: 1000,
          details: undefined,
        },
      ]);
    });

    it('what somebody has nobody else gets, whatever its kind is called elsewhere, and he learns who that is', async () => {
      const { manager } = context;
      await manager.takeHoldings(taker('a'), [{ kind: 'cpu', names: ['0', '1'] }]);
      const outcome = await manager.takeHoldings(taker('b'), [{ kind: 'cpu', names: ['1', '2'] }]);
      expect(outcome).toMatchObject({ held: [{ name: '1', holder: 'a' }] });
      expect(outcome.taken).toBeUndefined();
      expect(await manager.takeHoldings(taker('b'), [{ kind: 'device', names: ['1'] }])).toMatchObject({
        taken: [{ kind: 'device', name: '1' }],
      });
    });

    it('all that is wanted is taken, or nothing', async () => {
      const { manager } = context;
      await manager.takeHoldings(taker('a'), [{ kind: 'cpu', names: ['3'] }]);
      const both = [
        { kind: 'device', names: ['gpu'] },
        { kind: 'cpu', names: ['2', '3'] },
      ];
      expect(await manager.takeHoldings(taker('b'), both)).toMatchObject({ held: [{ name: '3' }] });
      expect(await names()).toEqual(['cpu 3']);
    });

    it('of several the first that are free are taken; too few are none', async () => {
      const { manager } = context;
      const cpus = { kind: 'cpu', names: ['0', '1', '2', '3'] };
      await manager.takeHoldings(taker('a'), [{ kind: 'cpu', names: ['1'] }]);
      const outcome = await manager.takeHoldings(taker('b'), [{ ...cpus, count: 2 }]);
      expect(outcome.taken?.map(({ name }) => name)).toEqual(['0', '2']);
      const next = await manager.takeHoldings(taker('c'), [{ ...cpus, count: 2 }]);
      expect(next.held?.map(({ name, holder }) => `${name} ${holder}`)).toEqual(['0 b', '1 a', '2 b']);
      expect(await manager.takeHoldings(taker('c'), [{ ...cpus, count: 0 }])).toEqual({ taken: [] });
      expect((await manager.takeHoldings(taker('c'), [{ ...cpus, count: 1 }])).taken).toHaveLength(1);
    });

    it('one thing cannot be wanted twice', async () => {
      const { manager } = context;
      const twice = [
        { kind: 'cpu', names: ['0'] },
        { kind: 'cpu', names: ['1', '0'], count: 1 },
      ];
      await expect(manager.takeHoldings(taker('a'), twice)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
      expect(await manager.listHoldings()).toEqual([]);
    });

    it('what is held for nobody is handed over once', async () => {
      const { manager } = context;
      const one = { kind: 'namespace', name: 'n1' };
      await manager.takeHoldings(taker(), [{ kind: 'namespace', names: ['n1'], details: '{"a":1}' }]);
      expect(await manager.changeHolding(one, { from: null, holder: 'a' })).toBe(true);
      expect(await manager.changeHolding(one, { from: null, holder: 'b' })).toBe(false);
      expect(await manager.changeHolding(one, { from: 'a', details: '{"a":2}' })).toBe(true);
      expect(await manager.changeHolding({ ...one, name: 'n2' }, { from: null, holder: 'b' })).toBe(false);
      expect(await manager.listHoldings()).toMatchObject([{ name: 'n1', holder: 'a', details: '{"a":2}' }]);
    });

    it('giving back takes what is with whom it is thought to be, and may be repeated', async () => {
      const { manager } = context;
      await manager.takeHoldings(taker('a'), [{ kind: 'cpu', names: ['0', '1'] }]);
      await manager.takeHoldings(taker('b'), [{ kind: 'cpu', names: ['2'] }]);
      await manager.takeHoldings(taker(), [{ kind: 'cpu', names: ['3'] }]);
      const cpu = (name: string, holder?: string) => ({ kind: 'cpu', name, holder });
      await manager.releaseHoldings([]);
      await manager.releaseHoldings([cpu('0', 'a'), cpu('1', 'b'), cpu('2'), cpu('7', 'a')]);
      await manager.releaseHoldings([cpu('0', 'a')]);
      expect(await names()).toEqual(['cpu 1', 'cpu 2', 'cpu 3']);
      await manager.releaseHoldings([cpu('3')]);
      expect(await names('a')).toEqual(['cpu 1']);
    });

    it('they are listed by kind and name, all of however many, or those of one kind or holder', async () => {
      const { manager } = context;
      const many = Array.from({ length: 1500 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
      await manager.takeHoldings(taker('n'), [{ kind: 'address', names: many }]);
      await manager.takeHoldings(taker('a'), [{ kind: 'cpu', names: ['é', 'z', 'B'] }]);
      expect((await manager.listHoldings({ kind: 'address' })).map(({ name }) => name)).toEqual([...many].sort());
      expect(await names('a')).toEqual(['cpu B', 'cpu z', 'cpu é']);
      expect(await manager.listHoldings({ kind: 'cpu', holder: 'n' })).toEqual([]);
      expect(await manager.listHoldings()).toHaveLength(1503);
    });
  });
}
