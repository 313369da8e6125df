import { describe, expect, it } from 'vitest';
import {
  dead,
  digestOf,
  image,
  isAlive,
  type MetadataContractContext,
  ours,
  putLayers,
  rootfs,
  setClock,
  theirs,
} from './metadata-records.js';
import { destroying, provisioned, states } from './metadata-steps.js';

export function containerContract(context: MetadataContractContext): void {
  describe('the life of a rootfs', () => {
    it('a container is recorded with its first rootfs and goes with its last one', async () => {
      const { manager } = context;
      await putLayers(manager, 'base', 'top');
      setClock(1000);
      const layers = ['base', 'top', 'base'].map(digestOf);
      await manager.beginProvision(rootfs('r1', 'c1', { layers }), ours, isAlive);
      setClock(2000);
      const record = {
        id: 'r1',
        containerId: 'c1',
        image: digestOf('image app'),
        backend: 'overlay',
        state: 'provisioning',
        layers,
        createdAt: 1000,
      };
      const container = { id: 'c1', owner: 'agent', createdAt: 1000 };
      expect(await manager.getContainer('c1')).toEqual({ ...container, rootfses: [record] });

      await manager.finishProvision('r1');
      expect(await manager.getContainer('c1')).toEqual({ ...container, rootfses: [{ ...record, state: 'ready' }] });

      const doomed = { ...record, state: 'destroying' };
      expect(await manager.beginDestroy('c1', ours, isAlive)).toEqual({ state: 'claimed', value: [doomed] });
      expect(await manager.getContainer('c1')).toEqual({ ...container, rootfses: [doomed] });

      await manager.forgetRootfses(['r1']);
      expect(await manager.getContainer('c1')).toBeUndefined();
      expect(await manager.listContainers()).toEqual([]);
      // Nothing is left of it that would be in the way of a new container of that name.
      await provisioned(manager, 'r1', 'c1', theirs);
    });

    it('a container holds several rootfses, oldest first, and stays until the last one is forgotten', async () => {
      const { manager } = context;
      for (const id of ['r2', 'r1', 'r3']) await provisioned(manager, id, 'c1');
      expect((await manager.getContainer('c1'))?.rootfses.map((record) => record.id)).toEqual(['r2', 'r1', 'r3']);
      expect((await destroying(manager, 'c1')).sort()).toEqual(['r1', 'r2', 'r3']);
      await manager.forgetRootfses(['r1', 'r3']);
      expect(await states(manager, 'c1')).toEqual({ r2: 'destroying' });
      await manager.forgetRootfses(['r2']);
      expect(await manager.getContainer('c1')).toBeUndefined();
    });

    it('a container keeps the owner it was made with, and is listed by it', async () => {
      const { manager } = context;
      for (const [id, containerId, owner] of [
        ['r1', 'b', 'one'],
        ['r2', 'a', 'two'],
        ['r3', 'a', 'one'],
        ['r4', 'a/b', 'one'],
        ['r5', 'a-b', 'two'],
      ] as const) {
        await manager.beginProvision(rootfs(id, containerId, { owner }), ours, isAlive);
      }
      const ids = async (owner?: string) => (await manager.listContainers(owner)).map((container) => container.id);
      expect(await ids()).toEqual(['a', 'a-b', 'a/b', 'b']);
      expect(await ids('one')).toEqual(['a/b', 'b']);
      expect(await ids('two')).toEqual(['a', 'a-b']);
      expect(await ids('three')).toEqual([]);
      expect((await manager.listContainers('two')).map((container) => container.rootfses.length)).toEqual([2, 1]);
    });

    it('a rootfs needs its layers, and outlives its image', async () => {
      const { manager } = context;
      await putLayers(manager, 'base');
      const layers = [digestOf('base'), digestOf('missing')];
      await expect(manager.beginProvision(rootfs('r1', 'c1', { layers }), ours, isAlive)).rejects.toMatchObject({
        code: 'ERR_LAYER_NOT_FOUND',
        details: { layers: [digestOf('missing')] },
      });
      // Neither a container nor a claim was left behind.
      expect(await manager.listContainers()).toEqual([]);
      await manager.beginProvision(rootfs('r1', 'c1', { image: digestOf('image none') }), theirs, isAlive);
      await manager.finishProvision('r1');
      expect(await states(manager, 'c1')).toEqual({ r1: 'ready' });
    });

    it('a rootfs id that is in use is refused, and the rootfs that has it is left alone', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'c1');
      for (const containerId of ['c1', 'c2']) {
        await expect(manager.beginProvision(rootfs('r1', containerId), ours, isAlive)).rejects.toMatchObject({
          code: 'ERR_BAD_OPTION',
        });
      }
      expect((await manager.listContainers()).map((container) => container.id)).toEqual(['c1']);
      expect(await states(manager, 'c1')).toEqual({ r1: 'ready' });
      expect(await destroying(manager, 'c1', theirs)).toEqual(['r1']);
    });

    it('a rootfs that was destroyed while it was being provisioned does not become ready', async () => {
      const { manager } = context;
      await manager.putImage(image('app', []), []);
      const before = await manager.getImage(image('app', []).id);
      await manager.beginProvision(rootfs('r1', 'c1'), dead, isAlive);
      expect(await destroying(manager, 'c1')).toEqual(['r1']);
      setClock(9_000_000_000_000);
      await expect(manager.finishProvision('r1')).rejects.toMatchObject({ code: 'ERR_CONTAINER_GONE' });
      expect(await states(manager, 'c1')).toEqual({ r1: 'destroying' });
      await manager.forgetRootfses(['r1']);
      await expect(manager.finishProvision('r1')).rejects.toMatchObject({ code: 'ERR_CONTAINER_GONE' });
      expect(await manager.getImage(image('app', []).id)).toEqual(before);
    });

    it('forgetting passes over ids that nobody knows, and may be repeated', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'c1');
      await provisioned(manager, 'r2', 'c2');
      await manager.forgetRootfses([]);
      await manager.forgetRootfses(['none', 'r1', 'r1']);
      await manager.forgetRootfses(['none', 'r1']);
      expect((await manager.listContainers()).map((container) => container.id)).toEqual(['c2']);
    });

    it('destroying what is not recorded finds nothing and claims nothing', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'c1');
      for (const none of ['c', 'c1/x', 'c11', 'none']) expect(await destroying(manager, none), none).toEqual([]);
      expect(await states(manager, 'c1')).toEqual({ r1: 'ready' });
      await provisioned(manager, 'r2', 'c1/x', theirs);
      await provisioned(manager, 'r3', 'none', theirs);
    });
  });

  describe('the tree of containers', () => {
    it('a destroy takes all that is below, children before parents, and nothing that only looks alike', async () => {
      const { manager } = context;
      const ids = ['a', 'a/b', 'a/b/c', 'a/b-c', 'a/b.c', 'a/b0', 'a/d', 'a-b', 'a.b', 'a0', 'ab', 'A', 'b/a'];
      for (const id of ids) await provisioned(manager, `rootfs of ${id}`, id);
      expect(await destroying(manager, 'a/b')).toEqual(['rootfs of a/b/c', 'rootfs of a/b']);
      await manager.releaseContainerClaims('a/b', ours);

      const order = await destroying(manager, 'a');
      const below = ['a', 'a/b', 'a/b/c', 'a/b-c', 'a/b.c', 'a/b0', 'a/d'].map((id) => `rootfs of ${id}`);
      expect([...order].sort()).toEqual([...below].sort());
      for (const id of below) {
        for (const child of below.filter((other) => other.startsWith(`${id}/`))) {
          expect(order.indexOf(child), `${child} before ${id}`).toBeLessThan(order.indexOf(id));
        }
      }
      await manager.forgetRootfses(order);
      const left = (await manager.listContainers()).map((container) => container.id);
      expect(left).toEqual(['A', 'a-b', 'a.b', 'a0', 'ab', 'b/a']);
      for (const id of left) expect(await states(manager, id)).toEqual({ [`rootfs of ${id}`]: 'ready' });
    });

    it('a parent need not be recorded for its children to be destroyed with it', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a/b/c');
      await provisioned(manager, 'r2', 'a/d');
      const doomed = await destroying(manager, 'a');
      expect([...doomed].sort()).toEqual(['r1', 'r2']);
      await manager.forgetRootfses(doomed);
      expect(await manager.listContainers()).toEqual([]);
    });

    it('while a parent is destroyed nobody else provisions below it, even when it is not recorded itself', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a/b');
      expect(await destroying(manager, 'a')).toEqual(['r1']);
      for (const containerId of ['a', 'a/b', 'a/c', 'a/b/c/d']) {
        expect(await manager.beginProvision(rootfs('r2', containerId), theirs, isAlive), containerId).toEqual({
          state: 'busy',
          holder: ours,
        });
      }
      expect((await manager.listContainers()).map((container) => container.id)).toEqual(['a/b']);
      await provisioned(manager, 'r3', 'ab', theirs);
      await manager.forgetRootfses(['r1']);
      await provisioned(manager, 'r4', 'a/c', theirs);
      await provisioned(manager, 'r5', 'a', theirs);
    });

    it('a parent cannot be destroyed while another process provisions a child', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a');
      await manager.beginProvision(rootfs('r2', 'a/b/c'), theirs, isAlive);
      expect(await manager.beginDestroy('a', ours, isAlive)).toEqual({ state: 'busy', holder: theirs });
      // It has changed nothing: the parent still works, and the child can be finished.
      expect(await states(manager, 'a')).toEqual({ r1: 'ready' });
      await manager.finishProvision('r2');
      expect(await destroying(manager, 'a')).toEqual(['r2', 'r1']);
    });

    it('a child can be destroyed while its parent is provisioned, and its siblings stay', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a/b');
      await provisioned(manager, 'r2', 'a/c');
      await manager.beginProvision(rootfs('r3', 'a'), theirs, isAlive);
      expect(await destroying(manager, 'a/b')).toEqual(['r1']);
      await manager.forgetRootfses(['r1']);
      await manager.finishProvision('r3');
      expect((await manager.listContainers()).map((container) => container.id)).toEqual(['a', 'a/c']);
    });
  });
}
