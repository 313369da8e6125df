import { describe, expect, it } from 'vitest';
import { dead, isAlive, type MetadataContractContext, ours, rootfs, setClock, theirs } from './metadata-records.js';
import { putApp } from './metadata-steps.js';

export function volumeContract(context: MetadataContractContext): void {
  const data = { name: 'data', owner: 'agent', labels: {} };
  const wanted = (name: string, changes: object = {}) => ({ name, owner: 'agent', readOnly: false, ...changes });
  const key = (containerId: string, id = 'r1') => ({ containerId, id });
  const putContainers = async (...containerIds: string[]) => {
    await putApp(context.manager);
    for (const containerId of containerIds) await context.manager.putRootfs(rootfs('r1', containerId));
  };
  const begin = (name: string, owner: string | undefined = 'agent', process = ours) =>
    context.manager.beginVolumeRemoval(name, owner, process, isAlive);

  describe('volumes', () => {
    it('one that was made tells whose it is, when it was made, and its labels; made again it stays as it is', async () => {
      const { manager } = context;
      setClock(1000);
      const volume = { name: 'data', owner: 'agent', labels: { a: 'b', '': 'ü' } };
      const record = { ...volume, state: 'new', maker: undefined, createdAt: 1000, containers: [] };
      expect(await manager.putVolume(volume)).toEqual(record);
      setClock(2000);
      expect(await manager.putVolume({ ...data, owner: 'other' })).toEqual(record);
      expect(await manager.getVolume('data')).toEqual(record);
      expect(await manager.getVolume('dat')).toBeUndefined();
    });

    it('all of however many are listed, by name', async () => {
      const { manager } = context;
      const names = Array.from({ length: 1200 }, (_, index) => `v${index}`);
      for (const name of ['a', 'B', ...names]) await manager.putVolume({ ...data, name });
      expect((await manager.listVolumes()).map(({ name }) => name)).toEqual(['B', 'a', ...names.sort()]);
    });

    it('what a root filesystem wants is made where it is missing, and tells the containers that have it', async () => {
      const { manager } = context;
      await putContainers('c2', 'c1');
      await manager.putRootfs(rootfs('r2', 'c1'));
      await manager.putVolume({ ...data, labels: { a: 'b' } });
      for (const user of [key('c2'), key('c1'), key('c1', 'r2'), key('c1')]) {
        const { used } = await manager.useVolumes(user, [wanted('more'), wanted('data')]);
        expect(used?.map(({ name }) => name)).toEqual(['more', 'data']);
      }
      expect(await manager.listVolumes()).toMatchObject([
        { name: 'data', containers: ['c1', 'c2'], labels: { a: 'b' } },
        { name: 'more', containers: ['c1', 'c2'], labels: {}, owner: 'agent', state: 'new' },
      ]);
      expect(await manager.useVolumes(key('c1'), [])).toEqual({ used: [] });
    });

    it('that a root filesystem has one goes with its record, and comes back with nothing', async () => {
      const { manager } = context;
      await putContainers('c1');
      await manager.putRootfs(rootfs('r2', 'c1'));
      await manager.useVolumes(key('c1'), [wanted('data')]);
      await manager.useVolumes(key('c1', 'r2'), [wanted('data')]);
      await manager.forgetRootfses([key('c1', 'r2')]);
      expect(await manager.getVolume('data')).toMatchObject({ containers: ['c1'] });
      await manager.forgetRootfses([key('c1')]);
      expect(await manager.getVolume('data')).toMatchObject({ containers: [] });
      await manager.putRootfs(rootfs('r1', 'c1'));
      expect(await manager.getVolume('data')).toMatchObject({ containers: [] });
    });

    it('a root filesystem that is not recorded has none', async () => {
      const { manager } = context;
      await putContainers('c1');
      await expect(manager.useVolumes(key('c1', 'gone'), [wanted('data')])).rejects.toMatchObject({
        code: 'ERR_CONTAINER_GONE',
      });
      expect(await manager.listVolumes()).toEqual([]);
    });

    it('another owner may read one, and does not come to write it by that; all that is wanted is had, or nothing', async () => {
      const { manager } = context;
      await putContainers('c1');
      await manager.putVolume({ ...data, owner: 'other' });
      const foreign = { code: 'ERR_VOLUME_FOREIGN', details: { volume: 'data', owner: 'other' } };
      await expect(manager.useVolumes(key('c1'), [wanted('mine'), wanted('data')])).rejects.toMatchObject(foreign);
      expect((await manager.listVolumes()).map(({ name, containers }) => [name, containers])).toEqual([['data', []]]);
      await manager.useVolumes(key('c1'), [wanted('data', { readOnly: true })]);
      await expect(manager.useVolumes(key('c1'), [wanted('data')])).rejects.toMatchObject(foreign);
      expect(await manager.useVolumes(key('c1'), [wanted('data', { owner: 'other' })])).toMatchObject({ used: [{}] });
    });

    it('whoever acts for the owner of a root filesystem writes what that one may', async () => {
      const { manager } = context;
      await putContainers('c1');
      await manager.putVolume(data);
      const asked = await manager.useVolumes(key('c1'), [wanted('data', { owner: 'helper' })]);
      expect(asked).toMatchObject({ used: [{ owner: 'agent', containers: ['c1'] }] });
    });

    it('what is new is claimed by one who lives, and settled by whoever has claimed it', async () => {
      const { manager } = context;
      const claim = (process: string) => manager.claimVolume('data', process, isAlive);
      expect(await claim(ours)).toEqual({ state: 'gone' });
      await manager.putVolume(data);
      expect(await claim(dead)).toEqual({ state: 'claimed' });
      expect(await claim(ours)).toEqual({ state: 'claimed' });
      expect(await claim(theirs)).toEqual({ state: 'busy', holder: ours });
      expect(await manager.settleVolume('data', dead)).toBe(false);
      expect(await manager.settleVolume('data', ours)).toBe(true);
      expect(await manager.settleVolume('data', ours)).toBe(false);
      expect(await claim(theirs)).toEqual({ state: 'ready' });
      expect(await manager.getVolume('data')).toMatchObject({ state: 'ready', maker: undefined });
    });

    it('a claim that was given back is free, and only its holder gives it back', async () => {
      const { manager } = context;
      await manager.putVolume(data);
      await manager.claimVolume('data', ours, isAlive);
      await manager.releaseVolume('data', theirs, 'new');
      expect(await manager.claimVolume('data', theirs, isAlive)).toMatchObject({ state: 'busy' });
      await manager.releaseVolume('data', ours, 'new');
      expect(await manager.claimVolume('data', theirs, isAlive)).toEqual({ state: 'claimed' });
    });

    it('one that a container has is not removed, and which that is is told', async () => {
      const { manager } = context;
      await putContainers('c1', 'c2');
      await manager.useVolumes(key('c1'), [wanted('data')]);
      await manager.useVolumes(key('c2'), [wanted('data')]);
      await expect(begin('data')).rejects.toMatchObject({
        code: 'ERR_VOLUME_IN_USE',
        details: { volume: 'data', containers: ['c1', 'c2'] },
      });
      await manager.forgetRootfses([key('c1'), key('c2')]);
      expect(await begin('data')).toEqual({ state: 'claimed', before: 'new' });
    });

    it('one is removed by its owner, or by who asks for anybody’s', async () => {
      const { manager } = context;
      await expect(begin('data')).rejects.toMatchObject({ code: 'ERR_VOLUME_NOT_FOUND' });
      await manager.putVolume(data);
      await expect(begin('data', 'other')).rejects.toMatchObject({
        code: 'ERR_VOLUME_FOREIGN',
        details: { volume: 'data', owner: 'agent' },
      });
      expect(await manager.beginVolumeRemoval('data', undefined, ours, isAlive)).toMatchObject({ state: 'claimed' });
    });

    it('one that is being removed is had by nobody, and nothing else that was wanted with it', async () => {
      const { manager } = context;
      await putContainers('c1');
      await manager.putVolume(data);
      await begin('data');
      expect(await manager.useVolumes(key('c1'), [wanted('more'), wanted('data')])).toMatchObject({
        removing: { name: 'data', state: 'removing', maker: ours },
      });
      expect((await manager.listVolumes()).map(({ name }) => name)).toEqual(['data']);
      expect(await manager.claimVolume('data', theirs, isAlive)).toEqual({ state: 'gone' });
      expect(await begin('data', 'agent', theirs)).toEqual({ state: 'busy', holder: ours });
      await manager.forgetVolume('data', theirs);
      expect(await manager.getVolume('data')).toMatchObject({ state: 'removing' });
      await manager.forgetVolume('data', ours);
      expect(await manager.getVolume('data')).toBeUndefined();
    });

    it('a removal whose process has died is taken over, and one that fails is taken back', async () => {
      const { manager } = context;
      await manager.putVolume(data);
      await manager.claimVolume('data', ours, isAlive);
      expect(await begin('data', 'agent', theirs)).toEqual({ state: 'busy', holder: ours });
      await manager.settleVolume('data', ours);
      expect(await begin('data', 'agent', dead)).toEqual({ state: 'claimed', before: 'ready' });
      expect(await begin('data', 'agent', ours)).toEqual({ state: 'claimed', before: 'removing' });
      await manager.forgetVolume('data', dead);
      await manager.releaseVolume('data', ours, 'ready');
      expect(await manager.getVolume('data')).toMatchObject({ state: 'ready', maker: undefined });
      await manager.forgetVolume('data', ours);
      expect(await manager.getVolume('data')).toBeDefined();
    });
  });
}
