import { describe, expect, it } from 'vitest';
import {
  dead,
  digestOf,
  image,
  type MetadataContractContext,
  ours,
  putLayers,
  rootfs,
  setClock,
  theirs,
} from './metadata-records.js';
import { forgetTree, idsOf, onlyRootfs, putApp, putReady, states } from './metadata-steps.js';

export function rootfsContract(context: MetadataContractContext): void {
  describe('the life of a rootfs', () => {
    it('a rootfs that is made at once is recorded ready, with the stack and the owner, and its container with it', async () => {
      const { manager } = context;
      const app = await putApp(manager, 'base', 'top', 'base');
      setClock(1000);
      await manager.putRootfs(rootfs('r1', 'c1'));
      setClock(2000);
      const record = {
        id: 'r1',
        containerId: 'c1',
        owner: 'agent',
        image: app,
        backend: 'overlay',
        state: 'ready',
        maker: undefined,
        layers: ['base', 'top', 'base'].map(digestOf),
        complete: true,
        createdAt: 1000,
      };
      const container = { id: 'c1', owner: 'agent', createdAt: 1000, rootfses: [record] };
      expect(await manager.getContainer('c1')).toEqual(container);
      expect(await manager.listContainers()).toEqual([container]);
      const { layers, complete, ...summary } = record;
      expect(await manager.rootfsesIn('c1')).toEqual([summary]);
      expect((await manager.count()).containers).toBe(1);
      await manager.forgetRootfses([record]);
      expect(await manager.getContainer('c1')).toBeUndefined();
      expect(await manager.listContainers()).toEqual([]);
      expect((await manager.count()).containers).toBe(0);
      // Nothing is left of it that would be in the way of a new one of that name, and of another owner.
      await manager.putRootfs(rootfs('r1', 'c1', { owner: 'other' }));
      expect((await manager.getContainer('c1'))?.owner).toBe('other');
    });

    it('a rootfs that takes long is provisioning, by its maker, until it is finished', async () => {
      const { manager } = context;
      await putApp(manager);
      await manager.putRootfs(rootfs('r1', 'c1'), ours);
      expect(await manager.rootfsesIn('c1')).toMatchObject([{ state: 'provisioning', maker: ours }]);
      await manager.finishRootfs({ containerId: 'c1', id: 'r1' });
      expect(await manager.rootfsesIn('c1')).toMatchObject([{ state: 'ready', maker: undefined }]);
    });

    it('a fork has the stack of what it was made of, though that is gone, in a container of its own owner, and is being made', async () => {
      const { manager } = context;
      const app = await putApp(manager, 'base', 'top');
      await manager.putRootfs(rootfs('r1', 'c1', { owner: 'other' }));
      setClock(3000);
      const forked = { containerId: 'c2', id: 'r2', owner: 'agent' };
      expect(await manager.forkRootfs({ containerId: 'c1', id: 'r1' }, forked, ours)).toBe(true);
      expect(await onlyRootfs(manager, 'c2')).toMatchObject({
        ...{ ...forked, image: app, backend: 'overlay', state: 'provisioning', maker: ours, createdAt: 3000 },
        ...{ layers: ['base', 'top'].map(digestOf), complete: true },
      });
      await manager.finishRootfs(forked);
      await forgetTree(manager, 'c1');
      expect(await onlyRootfs(manager, 'c2')).toMatchObject({ state: 'ready', complete: true });
    });

    it('nothing is forked of a rootfs that is not there, or is being made, nor to a container that is there', async () => {
      const { manager } = context;
      await putApp(manager, 'base');
      await putReady(manager, { r1: 'c1', r3: 'c3' });
      await manager.putRootfs(rootfs('r2', 'c2'), ours);
      const forked = { containerId: 'c4', id: 'r4', owner: 'agent' };
      for (const source of [rootfs('gone', 'c1'), rootfs('r1', 'c3'), rootfs('r2', 'c2')])
        expect(await manager.forkRootfs(source, forked, ours)).toBe(false);
      expect(await manager.getContainer('c4')).toBeUndefined();
      for (const containerId of ['c1', 'c2', 'c3']) {
        const taken = manager.forkRootfs(rootfs('r1', 'c1'), { ...forked, containerId }, ours);
        await expect(taken).rejects.toMatchObject({ code: 'ERR_CONTAINER_EXISTS', details: { containerId } });
        expect((await manager.getContainer(containerId))?.rootfses).toHaveLength(1);
      }
    });

    it('a fork has the volumes of what it was made of; those of other owners only where it is of the same one', async () => {
      const { manager } = context;
      await putApp(manager, 'base');
      await putReady(manager, { r1: 'c1' });
      await manager.putVolume({ name: 'foreign', owner: 'other', labels: {} });
      const wanted = (name: string) => ({ name, owner: 'agent', readOnly: true });
      await manager.useVolumes(rootfs('r1', 'c1'), [wanted('own'), wanted('foreign')]);
      await manager.forkRootfs(rootfs('r1', 'c1'), { containerId: 'c2', id: 'r1', owner: 'agent' }, ours);
      await manager.forkRootfs(rootfs('r1', 'c1'), { containerId: 'c3', id: 'r1', owner: 'other' }, ours);
      expect((await manager.getVolume('own'))?.containers).toEqual(['c1', 'c2']);
      expect((await manager.getVolume('foreign'))?.containers).toEqual(['c1', 'c2', 'c3']);
      await forgetTree(manager, 'c2');
      expect((await manager.getVolume('own'))?.containers).toEqual(['c1']);
    });

    it('a rootfs that was forgotten while it was made, or is ready already, cannot be finished', async () => {
      const { manager } = context;
      await putApp(manager);
      const key = { containerId: 'c1', id: 'r1' };
      await manager.putRootfs(rootfs('r1', 'c1'), dead);
      await manager.putRootfs(rootfs('r1', 'c2'), ours);
      await manager.forgetRootfses([key]);
      await expect(manager.finishRootfs(key)).rejects.toMatchObject({ code: 'ERR_CONTAINER_GONE' });
      expect(await states(manager, 'c2')).toEqual({ r1: 'provisioning' });
      await manager.finishRootfs({ containerId: 'c2', id: 'r1' });
      await expect(manager.finishRootfs({ containerId: 'c2', id: 'r1' })).rejects.toMatchObject({
        code: 'ERR_CONTAINER_GONE',
      });
      expect(await states(manager, 'c2')).toEqual({ r1: 'ready' });
    });

    it('a container holds several rootfses, oldest first, and stays until the last one is forgotten', async () => {
      const { manager } = context;
      await putApp(manager);
      for (const [index, id] of ['r2', 'r1', 'r3'].entries()) {
        setClock(1000 + index);
        await manager.putRootfs(rootfs(id, 'c1'));
      }
      expect(idsOf((await manager.getContainer('c1'))?.rootfses ?? [])).toEqual(['r2', 'r1', 'r3']);
      expect(idsOf(await manager.rootfsesIn('c1'))).toEqual(['r3', 'r1', 'r2']);
      expect((await manager.getContainer('c1'))?.createdAt).toBe(1000);
      await manager.forgetRootfses([rootfs('r2', 'c1'), rootfs('r3', 'c1')]);
      expect(await states(manager, 'c1')).toEqual({ r1: 'ready' });
      expect((await manager.getContainer('c1'))?.createdAt).toBe(1001);
      await manager.forgetRootfses([rootfs('r1', 'c1')]);
      expect(await manager.getContainer('c1')).toBeUndefined();
    });

    it('a container keeps the owner it was made with, and is listed by it', async () => {
      const { manager } = context;
      await putApp(manager);
      for (const [id, containerId, owner] of [
        ['r1', 'b', 'one'],
        ['r2', 'a', 'two'],
        ['r3', 'a', 'two'],
        ['r4', 'a/b', 'one'],
        ['r5', 'a-b', 'two'],
      ] as const) {
        await manager.putRootfs(rootfs(id, containerId, { owner }));
      }
      const ids = async (owner?: string) => (await manager.listContainers(owner)).map((container) => container.id);
      expect(await ids()).toEqual(['a', 'a-b', 'a/b', 'b']);
      expect(await ids('one')).toEqual(['a/b', 'b']);
      expect(await ids('two')).toEqual(['a', 'a-b']);
      expect(await ids('three')).toEqual([]);
      expect((await manager.listContainers('two')).map((container) => container.rootfses.length)).toEqual([2, 1]);
      expect(await Promise.all(['a', 'a/b', 'a/b/c', 'c'].map((id) => manager.containerOwner(id)))).toEqual([
        'two',
        'one',
        undefined,
        undefined,
      ]);
    });

    it('nobody adds to another owner’s container, unless he says that the owner does not matter, and then it stays that one’s', async () => {
      const { manager } = context;
      await putApp(manager);
      await manager.putRootfs(rootfs('r1', 'a', { owner: 'one' }));
      for (const maker of [undefined, ours]) {
        await expect(manager.putRootfs(rootfs('r2', 'a', { owner: 'two' }), maker)).rejects.toMatchObject({
          code: 'ERR_CONTAINER_FOREIGN',
          message: expect.stringMatching(/\ba\b.*"one"/),
          hint: expect.stringMatching(/--owner "one".*--any-owner/),
          details: { containerId: 'a', owner: 'one' },
        });
      }
      expect(await states(manager, 'a')).toEqual({ r1: 'ready' });
      await manager.putRootfs(rootfs('r2', 'a', { owner: 'two', anyOwner: true }), ours);
      await manager.putRootfs(rootfs('r3', 'a', { owner: 'one' }));
      expect((await manager.rootfsesIn('a')).map(({ owner }) => owner)).toEqual(['one', 'one', 'one']);
      // Of a new container the owner is who makes it, whatever is above or below.
      await manager.putRootfs(rootfs('r4', 'a/b', { owner: 'two', anyOwner: true }));
      expect(await manager.containerOwner('a/b')).toBe('two');
      await forgetTree(manager, 'a');
      await manager.putRootfs(rootfs('r5', 'a', { owner: 'two' }));
      expect(await manager.containerOwner('a')).toBe('two');
    });

    it('where a rootfs is mounted is recorded with it, and again when it is mounted elsewhere', async () => {
      const { manager } = context;
      await putApp(manager);
      const mount = { boot: 'first', namespace: 'mnt:[1]', process: ours };
      await manager.putRootfs(rootfs('r1', 'c1', { mount }));
      await manager.putRootfs(rootfs('r2', 'c1', { backend: 'copy' }), ours);
      const mounts = async () => Object.fromEntries((await manager.rootfsesIn('c1')).map((one) => [one.id, one.mount]));
      expect(await mounts()).toEqual({ r1: mount, r2: undefined });
      const again = { boot: 'second', namespace: 'mnt:[2]', process: theirs };
      await manager.setRootfsMounts(
        [
          { containerId: 'c1', id: 'r1' },
          { containerId: 'c1', id: 'gone' },
        ],
        again,
      );
      await manager.finishRootfs({ containerId: 'c1', id: 'r2' });
      expect(await mounts()).toEqual({ r1: again, r2: undefined });
      expect((await manager.getContainer('c1'))?.rootfses[0]?.mount).toEqual(again);
      expect((await manager.listContainers())[0]?.rootfses[0]?.mount).toEqual(again);
    });

    it('a rootfs needs its image, and nothing is recorded of one whose image is not there', async () => {
      const { manager } = context;
      const missing = rootfs('r1', 'c1', { image: digestOf('image none') });
      for (const maker of [undefined, ours]) {
        await expect(manager.putRootfs(missing, maker)).rejects.toMatchObject({
          code: 'ERR_IMAGE_NOT_FOUND',
          details: { image: digestOf('image none') },
        });
      }
      expect(await manager.listContainers()).toEqual([]);
    });

    it('a rootfs id that the container has is refused, and the rootfs that has it is left alone', async () => {
      const { manager } = context;
      await putApp(manager);
      setClock(1000);
      await manager.putImage(image('app', []), []);
      await manager.putRootfs(rootfs('r1', 'c1', { backend: 'copy' }), ours);
      const before = await manager.getContainer('c1');
      setClock(9000);
      for (const maker of [undefined, ours]) {
        await expect(manager.putRootfs(rootfs('r1', 'c1'), maker)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
      }
      expect(await manager.getContainer('c1')).toEqual(before);
      // What was refused was no use of the image.
      expect((await manager.getImage(image('app', []).id))?.lastUsedAt).toBe(1000);
      await manager.putRootfs(rootfs('r1', 'c2'));
      expect((await manager.listContainers()).map((container) => container.id)).toEqual(['c1', 'c2']);
    });

    it('a rootfs is forgotten in its own container only', async () => {
      const { manager } = context;
      await putApp(manager);
      for (const containerId of ['a', 'a/b', 'b']) await manager.putRootfs(rootfs('same', containerId));
      await manager.forgetRootfses([{ containerId: 'a', id: 'same' }]);
      expect((await manager.listContainers()).map((container) => container.id)).toEqual(['a/b', 'b']);
    });

    it('forgetting passes over what nobody knows, may be repeated, and tells how many were known', async () => {
      const { manager } = context;
      await putApp(manager);
      await putReady(manager, { r1: 'c1', r2: 'c2' });
      expect(await manager.forgetRootfses([])).toBe(0);
      for (const forgotten of [1, 0]) {
        const keys = [
          { containerId: 'none', id: 'r1' },
          { containerId: 'c1', id: 'r1' },
          { containerId: 'c1', id: 'r1' },
        ];
        expect(await manager.forgetRootfses(keys)).toBe(forgotten);
      }
      expect((await manager.listContainers()).map((container) => container.id)).toEqual(['c2']);
    });

    it('a record does not change when the caller changes what it got back', async () => {
      const { manager } = context;
      await putApp(manager, 'base');
      await putReady(manager, { r1: 'c1' });
      const answers = [
        ...((await manager.getContainer('c1'))?.rootfses ?? []),
        ...(await manager.listContainers()).flatMap((container) => container.rootfses),
      ];
      for (const { layers } of answers) (layers as string[]).pop();
      expect((await onlyRootfs(manager, 'c1')).layers).toEqual([digestOf('base')]);
    });
  });

  describe('the stack of a rootfs', () => {
    it('is that of its image, and stays when the image is gone', async () => {
      const { manager } = context;
      const app = await putApp(manager, 'base', 'top');
      await putReady(manager, { r1: 'c1', r2: 'c2' });
      await putLayers(manager, 'broken');
      await manager.putImage(image('other', ['broken']), []);
      await manager.forgetLayers([digestOf('broken')]);
      expect(await onlyRootfs(manager, 'c1')).toMatchObject({ image: app, layers: ['base', 'top'].map(digestOf) });
      await putLayers(manager, 'third');
      await manager.putImage(image('third', ['base', 'third']), []);
      expect((await onlyRootfs(manager, 'c2')).layers).toEqual(['base', 'top'].map(digestOf));
    });

    it('keeps its layers when the image has been forgotten and pulled again', async () => {
      const { manager } = context;
      await putApp(manager, 'base', 'top');
      await putReady(manager, { before: 'c1' });
      await manager.forgetLayers([digestOf('top')]);
      expect(await manager.listImages()).toEqual([]);
      await putApp(manager, 'base', 'top');
      await putReady(manager, { after: 'c2' });
      // It says that this is not all it was made of, whatever is pulled since.
      expect(await onlyRootfs(manager, 'c1')).toMatchObject({ layers: [digestOf('base')], complete: false });
      expect(await onlyRootfs(manager, 'c2')).toMatchObject({ layers: ['base', 'top'].map(digestOf), complete: true });
      await forgetTree(manager, 'c2');
      await manager.dropUnusedStacks();
      expect((await onlyRootfs(manager, 'c1')).layers).toEqual([digestOf('base')]);
      expect((await manager.getStack(image('app', []).id)).map((record) => record.id)).toEqual(
        ['base', 'top'].map(digestOf),
      );
    });

    it('may be empty', async () => {
      const { manager } = context;
      await putApp(manager);
      await putReady(manager, { r1: 'c1' });
      expect((await onlyRootfs(manager, 'c1')).layers).toEqual([]);
    });
  });

  describe('the tree of containers', () => {
    it('holds all that is below, children before parents, and nothing that only looks alike', async () => {
      const { manager } = context;
      await putApp(manager);
      const ids = ['a', 'a/b', 'a/b/c', 'a/b-c', 'a/b.c', 'a/b0', 'a/d', 'a-b', 'a.b', 'a0', 'ab', 'A', 'b/a'];
      for (const id of ids) await manager.putRootfs(rootfs(`rootfs of ${id}`, id));
      expect(idsOf(await manager.rootfsesIn('a/b'))).toEqual(['rootfs of a/b/c', 'rootfs of a/b']);

      const order = (await manager.rootfsesIn('a')).map((record) => record.containerId);
      const below = ['a', 'a/b', 'a/b/c', 'a/b-c', 'a/b.c', 'a/b0', 'a/d'];
      expect([...order].sort()).toEqual([...below].sort());
      for (const id of below) {
        for (const child of below.filter((other) => other.startsWith(`${id}/`))) {
          expect(order.indexOf(child), `${child} before ${id}`).toBeLessThan(order.indexOf(id));
        }
      }
      await forgetTree(manager, 'a');
      const left = (await manager.listContainers()).map((container) => container.id);
      expect(left).toEqual(['A', 'a-b', 'a.b', 'a0', 'ab', 'b/a']);
    });

    it('has the rootfses of one container together, the newest first, between those of others', async () => {
      const { manager } = context;
      await putApp(manager);
      for (const [index, [id, containerId]] of [
        ['1', 'a'],
        ['2', 'a/b'],
        ['3', 'a'],
        ['4', 'a/b'],
        ['5', 'a'],
      ].entries()) {
        setClock(1000 + index);
        await manager.putRootfs(rootfs(id as string, containerId as string));
      }
      expect(idsOf(await manager.rootfsesIn('a'))).toEqual(['4', '2', '5', '3', '1']);
    });

    it('need not have its top recorded', async () => {
      const { manager } = context;
      await putApp(manager);
      await putReady(manager, { r1: 'a/b/c', r2: 'a/d' });
      expect(idsOf(await manager.rootfsesIn('a')).sort()).toEqual(['r1', 'r2']);
      expect(await manager.getContainer('a')).toBeUndefined();
      for (const none of ['c', 'a/b/c/d', 'a/bc', 'none']) expect(await manager.rootfsesIn(none), none).toEqual([]);
    });

    it('is listed whole when it is longer than a page', async () => {
      const { manager } = context;
      await putLayers(manager, 'base');
      await manager.putImage(image('app', ['base']), []);
      const expected = new Map<string, number>();
      for (let index = 0; index < 2207; index += 1) {
        const containerId = `job-${index % 1103}/x`;
        const owner = index % 1103 < 500 ? 'one' : 'two';
        await manager.putRootfs(rootfs(`r${index}`, containerId, { owner }));
        expected.set(containerId, (expected.get(containerId) ?? 0) + 1);
      }
      const all = await manager.listContainers();
      expect(all.map((container) => container.id)).toEqual([...expected.keys()].sort());
      expect(new Map(all.map(({ id, rootfses }) => [id, rootfses.length]))).toEqual(expected);
      expect(await manager.listContainers('one')).toHaveLength(500);
      expect((await manager.count()).containers).toBe(1103);
    });
  });
}
