import { describe, expect, it } from 'vitest';
import { type NewPull, OUTCOME_KEPT, type PullLayer } from '#src/metadata/pulls/pull-records.js';
import { dead, digestOf, isAlive, type MetadataContractContext, ours, setClock, theirs } from './metadata-records.js';

export function pullContract(context: MetadataContractContext): void {
  describe('the records of pulls', () => {
    const app = { source: 'docker://registry.example/app:v1', platform: 'linux/amd64' };
    const pull = (id: string, changes: Partial<NewPull> = {}): NewPull => ({
      ...app,
      pull: id,
      terms: 't',
      process: ours,
      ...changes,
    });
    const layer = (word: string, changes: Partial<PullLayer> = {}): PullLayer => ({
      layer: digestOf(word),
      phase: 'unpacking',
      bytes: 10,
      total: 100,
      ...changes,
    });
    const image = digestOf('image app');

    it('a pull that nobody else is at is announced, with a lease', async () => {
      const { manager } = context;
      setClock(5000);
      expect(await manager.announcePull(pull('p'), isAlive)).toEqual({ state: 'announced', replaced: [] });
      expect(await manager.listPulls()).toEqual([{ ...pull('p'), since: 5000, image: undefined, layers: [] }]);
      expect(await manager.listLeases()).toMatchObject([{ pull: 'p', process: ours, since: 5000 }]);
    });

    it('a second one of the same is told of the first, in this process too, and leaves nothing', async () => {
      const { manager } = context;
      await manager.announcePull(pull('p', { process: theirs }), isAlive);
      await manager.reportPull('p', { image, layers: [layer('a')] });
      const busy = { state: 'busy', pull: { pull: 'p', process: theirs, image, layers: [layer('a')] } };
      expect(await manager.announcePull(pull('q'), isAlive)).toMatchObject(busy);
      expect(await manager.announcePull(pull('r', { process: theirs }), isAlive)).toMatchObject(busy);
      expect(await manager.listLeases()).toHaveLength(1);
    });

    it.each([
      ['another source', { source: 'docker://registry.example/app:v2' }],
      ['another platform', { platform: 'linux/arm64' }],
      ['other terms', { terms: 'u' }],
    ])('a pull of %s is another one', async (_, changes) => {
      const { manager } = context;
      await manager.announcePull(pull('p'), isAlive);
      expect(await manager.announcePull(pull('q', changes), isAlive)).toMatchObject({ state: 'announced' });
      expect((await manager.listPulls()).map((one) => one.pull)).toEqual(['p', 'q']);
    });

    it("a dead process's pull counts for nothing and is replaced, with its lease", async () => {
      const { manager } = context;
      await manager.announcePull(pull('p', { process: dead }), isAlive);
      await manager.leaseLayers('p', [digestOf('a')]);
      expect(await manager.announcePull(pull('q'), isAlive)).toEqual({ state: 'announced', replaced: ['p'] });
      expect((await manager.listLeases()).map((lease) => lease.pull)).toEqual(['q']);
      expect((await manager.listPulls()).map((one) => one.pull)).toEqual(['q']);
    });

    it('a report replaces the one before, and one of an unknown pull is passed over', async () => {
      const { manager } = context;
      await manager.announcePull(pull('p'), isAlive);
      await manager.reportPull('p', { image, layers: [layer('a'), layer('b', { phase: 'waiting', bytes: 0 })] });
      await manager.reportPull('p', { image, layers: [layer('a', { phase: 'done', bytes: 100 })] });
      await manager.reportPull('unknown', { image, layers: [layer('a')] });
      const [only, ...others] = await manager.listPulls();
      expect(others).toEqual([]);
      expect(only).toMatchObject({ image, layers: [layer('a', { phase: 'done', bytes: 100 })] });
    });

    it('layers keep their order, whatever their digests', async () => {
      const { manager } = context;
      await manager.announcePull(pull('p'), isAlive);
      const layers = ['c', 'a', 'b', 'z', 'd'].map((word) => layer(word));
      await manager.reportPull('p', { image, layers });
      expect((await manager.findPulls(app)).running[0]?.layers).toEqual(layers);
    });

    it('a pull that is finished is gone, with its lease, and its outcome is found', async () => {
      const { manager } = context;
      setClock(7000);
      await manager.announcePull(pull('p'), isAlive);
      await manager.reportPull('p', { image, layers: [layer('a')] });
      const result = { kind: 'stored', image, names: ['registry.example/app:v1'] } as const;
      await manager.finishPull('p', result);
      expect(await manager.listPulls()).toEqual([]);
      expect(await manager.listLeases()).toEqual([]);
      const { process: _, ...outcome } = { ...pull('p'), finishedAt: 7000, result };
      expect(await manager.findPulls(app)).toEqual({ running: [], outcomes: [outcome] });
      await manager.reportPull('p', { image, layers: [layer('a')] });
      expect(await manager.listPulls()).toEqual([]);
    });

    it('an outcome takes the place of an older one on the same terms', async () => {
      const { manager } = context;
      const failed = (message: string) =>
        ({ kind: 'failed', failure: { code: 'ERR_IO', message, hint: null } }) as const;
      for (const [at, id, terms] of [
        [1000, 'p', 't'],
        [2000, 'q', 'u'],
        [3000, 'r', 't'],
      ] as const) {
        setClock(at);
        await manager.announcePull(pull(id, { terms }), isAlive);
        await manager.finishPull(id, failed(id));
      }
      const { outcomes } = await manager.findPulls(app);
      expect(outcomes.map(({ pull: id, finishedAt }) => [id, finishedAt])).toEqual([
        ['r', 3000],
        ['q', 2000],
      ]);
    });

    it('an outcome is forgotten when it is old and another pull finishes', async () => {
      const { manager } = context;
      setClock(1000);
      await manager.announcePull(pull('p'), isAlive);
      await manager.finishPull('p', { kind: 'stored', image, names: [] });
      setClock(1001 + OUTCOME_KEPT);
      await manager.announcePull(pull('q', { terms: 'u' }), isAlive);
      await manager.finishPull('q', { kind: 'stored', image, names: [] });
      expect((await manager.findPulls(app)).outcomes.map((outcome) => outcome.pull)).toEqual(['q']);
    });

    it('a pull whose lease is closed was given up: it is gone and leaves no outcome', async () => {
      const { manager } = context;
      await manager.announcePull(pull('p'), isAlive);
      await manager.closeLeases(['p']);
      await manager.finishPull('p', { kind: 'stored', image, names: [] });
      expect(await manager.findPulls(app)).toEqual({ running: [], outcomes: [] });
      expect(await manager.announcePull(pull('q'), isAlive)).toEqual({ state: 'announced', replaced: [] });
    });
  });
}
