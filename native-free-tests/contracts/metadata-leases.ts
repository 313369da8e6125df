import { describe, expect, it } from 'vitest';
import { dead, digestOf, type MetadataContractContext, ours, setClock, theirs } from './metadata-records.js';

export function leaseContract(context: MetadataContractContext): void {
  describe('the leases of pulls', () => {
    it('a lease tells the pull, its process, its begin and its layers, recorded or not, each once', async () => {
      const { manager } = context;
      setClock(1000);
      await manager.openLease('pull 1', ours);
      expect(await manager.listLeases()).toEqual([{ pull: 'pull 1', process: ours, since: 1000, layers: [] }]);
      setClock(2000);
      await manager.leaseLayers('pull 1', ['b', 'a'].map(digestOf));
      await manager.leaseLayers('pull 1', ['a', 'c', 'a'].map(digestOf));
      await manager.leaseLayers('pull 1', []);
      expect(await manager.listLeases()).toEqual([
        { pull: 'pull 1', process: ours, since: 1000, layers: ['a', 'b', 'c'].map(digestOf).sort() },
      ]);
    });

    it('leases are listed oldest first, those of all processes', async () => {
      const { manager } = context;
      for (const [pull, process, since] of [
        ['b', ours, 2000],
        ['a', theirs, 2000],
        ['c', dead, 1000],
      ] as const) {
        setClock(since);
        await manager.openLease(pull, process);
        await manager.leaseLayers(pull, [digestOf('shared')]);
      }
      expect((await manager.listLeases()).map(({ pull }) => pull)).toEqual(['c', 'a', 'b']);
    });

    it('closing takes the named ones away, passes over unknown ones, and may be repeated', async () => {
      const { manager } = context;
      for (const pull of ['a', 'b', 'c']) {
        await manager.openLease(pull, ours);
        await manager.leaseLayers(pull, [digestOf('shared')]);
      }
      await manager.closeLeases([]);
      await manager.closeLeases(['a', 'none', 'c']);
      await manager.closeLeases(['a']);
      expect((await manager.listLeases()).map(({ pull, layers }) => [pull, layers])).toEqual([
        ['b', [digestOf('shared')]],
      ]);
    });

    it('a pull whose lease was taken away learns of it when it leases more', async () => {
      const { manager } = context;
      await expect(manager.leaseLayers('never opened', [digestOf('a')])).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      await manager.openLease('pull', ours);
      await manager.closeLeases(['pull']);
      await expect(manager.leaseLayers('pull', [digestOf('a')])).rejects.toMatchObject({
        code: 'ERR_ABORTED',
        details: { pull: 'pull' },
      });
      await expect(manager.leaseLayers('pull', [])).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      expect(await manager.listLeases()).toEqual([]);
    });

    it('a lease does not change when the caller changes what it handed in or got back', async () => {
      const { manager } = context;
      const layers = [digestOf('a')];
      await manager.openLease('pull', ours);
      await manager.leaseLayers('pull', layers);
      layers.push(digestOf('b'));
      for (const lease of await manager.listLeases()) (lease.layers as string[]).pop();
      expect((await manager.listLeases())[0]?.layers).toEqual([digestOf('a')]);
    });
  });
}
