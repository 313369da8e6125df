import { describe, expect, it } from 'vitest';
import { dead, isAlive, type MetadataContractContext, ours, rootfs, theirs } from './metadata-records.js';
import { claimed, destroying, provisioned, states } from './metadata-steps.js';

export function claimContract(context: MetadataContractContext): void {
  describe('claims on containers', () => {
    it('one process at a time provisions into a container, and its claim ends with the provision', async () => {
      const { manager } = context;
      await manager.beginProvision(rootfs('r1', 'c1'), ours, isAlive);
      const busy = { state: 'busy', holder: ours };
      expect(await manager.beginProvision(rootfs('r2', 'c1'), theirs, isAlive)).toEqual(busy);
      expect(await manager.beginDestroy('c1', theirs, isAlive)).toEqual(busy);
      expect(await states(manager, 'c1')).toEqual({ r1: 'provisioning' });
      // A container above or below is another container.
      await provisioned(manager, 'r3', 'c1/child', theirs);
      await manager.finishProvision('r1');
      await provisioned(manager, 'r2', 'c1', theirs);
    });

    it('the claim of a provision that failed goes with its rootfs', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'c1');
      await manager.beginProvision(rootfs('r2', 'c1'), ours, isAlive);
      await manager.forgetRootfses(['r2']);
      expect(await states(manager, 'c1')).toEqual({ r1: 'ready' });
      expect(await destroying(manager, 'c1', theirs)).toEqual(['r1']);
    });

    it('two processes cannot destroy the same container, a parent of it or a child of it at once', async () => {
      const { manager } = context;
      for (const [id, containerId] of [
        ['r1', 'a'],
        ['r2', 'a/b'],
        ['r3', 'a/b/c'],
      ] as const) {
        await provisioned(manager, id, containerId);
      }
      expect(await destroying(manager, 'a/b')).toEqual(['r3', 'r2']);
      for (const containerId of ['a', 'a/b', 'a/b/c', 'a/b/none']) {
        expect(await manager.beginDestroy(containerId, theirs, isAlive), containerId).toEqual({
          state: 'busy',
          holder: ours,
        });
      }
      expect(await states(manager, 'a')).toEqual({ r1: 'ready' });
    });

    it('the claim of a destroy lasts until nothing that it marked is left', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a');
      await provisioned(manager, 'r2', 'a');
      await provisioned(manager, 'r3', 'a/b');
      await destroying(manager, 'a');
      const busy = { state: 'busy', holder: ours };
      for (const id of ['r1', 'r2']) {
        await manager.forgetRootfses([id]);
        expect(await manager.beginProvision(rootfs('x', 'a'), theirs, isAlive)).toEqual(busy);
        expect(await manager.beginProvision(rootfs('x', 'a/c'), theirs, isAlive)).toEqual(busy);
        expect(await manager.beginDestroy('a/b', theirs, isAlive)).toEqual(busy);
      }
      await manager.forgetRootfses(['r3']);
      await provisioned(manager, 'x', 'a/c', theirs);
    });

    it('a destroy that failed gives its claims back, and another process can destroy what is left', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a');
      await provisioned(manager, 'r2', 'a/b');
      await destroying(manager, 'a');
      await manager.forgetRootfses(['r2']);
      await manager.releaseContainerClaims('a', theirs);
      await manager.releaseContainerClaims('none', ours);
      expect(await manager.beginDestroy('a', theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      await manager.releaseContainerClaims('a', ours);
      expect(await states(manager, 'a')).toEqual({ r1: 'destroying' });
      expect(await destroying(manager, 'a', theirs)).toEqual(['r1']);
    });

    it('a process gives back its own claims only', async () => {
      const { manager } = context;
      await manager.beginProvision(rootfs('r1', 'a/b'), ours, isAlive);
      await manager.beginProvision(rootfs('r2', 'a/c'), theirs, isAlive);
      await manager.releaseContainerClaims('a', theirs);
      expect(await manager.beginDestroy('a/b', theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      expect(await states(manager, 'a/c')).toEqual({ r2: 'provisioning' });
      expect(await destroying(manager, 'a/c')).toEqual(['r2']);
    });

    it('giving the claims on a container back leaves those on its parents and neighbours', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a/b');
      await provisioned(manager, 'r2', 'a/c');
      await destroying(manager, 'a');
      await manager.beginProvision(rootfs('r3', 'a-b'), ours, isAlive);
      await manager.releaseContainerClaims('a/b', ours);
      const busy = { state: 'busy', holder: ours };
      expect(await manager.beginDestroy('a/b', theirs, isAlive)).toEqual(busy);
      expect(await manager.beginDestroy('a/c', theirs, isAlive)).toEqual(busy);
      expect(await manager.beginDestroy('a-b', theirs, isAlive)).toEqual(busy);
    });

    it('claims of a dead process count for nothing: its half-made rootfs is destroyed by another', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a', dead);
      await manager.beginProvision(rootfs('r2', 'a/b'), dead, isAlive);
      expect(await destroying(manager, 'a', ours)).toEqual(['r2', 'r1']);
      expect(await manager.beginDestroy('a', theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      await manager.forgetRootfses(['r1', 'r2']);
      expect(await manager.listContainers()).toEqual([]);
    });

    it('a destroy that a dead process began is taken over whole', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a/b');
      await provisioned(manager, 'r2', 'a/c');
      expect(await destroying(manager, 'a', dead)).toHaveLength(2);
      await manager.forgetRootfses(['r1']);
      expect(await destroying(manager, 'a', ours)).toEqual(['r2']);
      expect(await manager.beginProvision(rootfs('r3', 'a/b'), theirs, isAlive)).toEqual({
        state: 'busy',
        holder: ours,
      });
      await manager.forgetRootfses(['r2']);
      await provisioned(manager, 'r3', 'a/b', theirs);
    });

    it('a container that a dead process was destroying can be provisioned again, and what was marked stays marked', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a');
      await destroying(manager, 'a', dead);
      expect(await manager.beginProvision(rootfs('r2', 'a'), ours, isAlive)).toEqual(claimed);
      await manager.finishProvision('r2');
      expect(await states(manager, 'a')).toEqual({ r1: 'destroying', r2: 'ready' });
      expect((await destroying(manager, 'a', theirs)).sort()).toEqual(['r1', 'r2']);
    });

    it('a claim that was taken over does not come back when a new process gets the old identity', async () => {
      const { manager } = context;
      await manager.beginProvision(rootfs('r1', 'a'), dead, isAlive);
      await provisioned(manager, 'r2', 'a');
      expect(await manager.beginDestroy('a', ours, () => true)).toMatchObject({ state: 'claimed' });
    });

    it('operations of one process on one container do not corrupt each other', async () => {
      const { manager } = context;
      await manager.beginProvision(rootfs('r1', 'a'), ours, isAlive);
      await manager.beginProvision(rootfs('r2', 'a'), ours, isAlive);
      await manager.finishProvision('r1');
      // The second one is still at work, and still has the container.
      expect(await manager.beginDestroy('a', theirs, isAlive)).toEqual({ state: 'busy', holder: ours });

      expect((await destroying(manager, 'a')).sort()).toEqual(['r1', 'r2']);
      await manager.beginProvision(rootfs('r3', 'a'), ours, isAlive);
      await expect(manager.finishProvision('r2')).rejects.toMatchObject({ code: 'ERR_CONTAINER_GONE' });
      await manager.forgetRootfses(['r1', 'r2']);
      expect(await states(manager, 'a')).toEqual({ r3: 'provisioning' });
      expect(await manager.beginDestroy('a', theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      await manager.finishProvision('r3');
      expect(await destroying(manager, 'a', theirs)).toEqual(['r3']);
    });

    it('a destroy repeated by the same process finds the same rootfses', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a');
      await provisioned(manager, 'r2', 'a/b');
      expect(await destroying(manager, 'a')).toEqual(['r2', 'r1']);
      expect(await destroying(manager, 'a/b')).toEqual(['r2']);
      expect(await destroying(manager, 'a')).toEqual(['r2', 'r1']);
      await manager.forgetRootfses(['r2', 'r1']);
      await provisioned(manager, 'r3', 'a/b', theirs);
    });

    it('of many processes that destroy a container at once, one does', async () => {
      const { manager } = context;
      await provisioned(manager, 'r1', 'a');
      const processes = Array.from({ length: 20 }, (_, index) => `${index + 1}:1:boot`);
      const answers = await Promise.all(processes.map((process) => manager.beginDestroy('a', process, isAlive)));
      expect(answers.filter((answer) => answer.state === 'claimed')).toHaveLength(1);
    });
  });
}
