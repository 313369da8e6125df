import { describe, expect, it } from 'vitest';
import type { MetadataManager } from '#src/metadata/metadata-manager.js';
import {
  digestOf,
  image,
  isAlive,
  layer,
  type MetadataContractContext,
  ours,
  putLayers,
  rootfs,
} from './metadata-records.js';
import { twoImages } from './metadata-steps.js';

export function stateContract(context: MetadataContractContext): void {
  describe('the records as a whole', () => {
    it('have no gap in a new store, and have one from when somebody says so until somebody says not', async () => {
      const { manager } = context;
      expect(await manager.recordsGap()).toBeUndefined();
      for (const gap of ['lost', 'older'] as const) {
        await manager.setRecordsGap(gap);
        await manager.setRecordsGap(gap);
        expect(await manager.recordsGap()).toBe(gap);
        await manager.setRecordsGap(undefined);
        expect(await manager.recordsGap()).toBeUndefined();
      }
    });

    it('are sound, and then have nothing to say about themselves', async () => {
      const { manager } = context;
      await putLayers(manager, 'base');
      await manager.putImage(image('app', ['base']), ['app']);
      expect(await manager.verify()).toEqual([]);
    });

    it('are counted: images, layers, and containers however many rootfses these have', async () => {
      const { manager } = context;
      expect(await manager.count()).toEqual({ images: 0, layers: 0, containers: 0 });
      await twoImages(manager);
      for (const [id, containerId] of [
        ['r1', 'a'],
        ['r2', 'a'],
        ['r3', 'a/b'],
      ] as const) {
        await manager.putRootfs(rootfs(id, containerId));
      }
      expect(await manager.count()).toEqual({ images: 2, layers: 4, containers: 2 });
    });
  });

  describe('closing', () => {
    it('every call after close fails with ERR_CLOSED, and closing twice is harmless', async () => {
      const { manager } = context;
      const id = digestOf('base');
      await manager.close();
      await manager.close();
      const launch = { containerId: 'c1', owner: 'me' };
      const pull = { pull: 'pull', process: ours, source: 's', platform: 'p', terms: 't' };
      const calls: Readonly<
        Record<Exclude<keyof MetadataManager, 'close' | 'prepareRemoval'>, () => Promise<unknown>>
      > = {
        putImage: () => manager.putImage(image('app', []), []),
        getImage: () => manager.getImage(id),
        getImageByName: () => manager.getImageByName('app:latest'),
        findImages: () => manager.findImages('a', 1),
        listImages: () => manager.listImages(),
        addName: () => manager.addName('app:latest', id),
        removeName: () => manager.removeName('app:latest'),
        removeNames: () => manager.removeNames(id),
        imageOfIndex: () => manager.imageOfIndex(id, 'linux/amd64'),
        imagesOfIndex: () => manager.imagesOfIndex(id),
        markUsed: () => manager.markUsed(id),
        imageBeside: () => manager.imageBeside(id, 'linux/amd64'),
        getLayer: () => manager.getLayer(id),
        missingLayers: () => manager.missingLayers([]),
        putLayers: () => manager.putLayers([layer('base')]),
        listLayers: () => manager.listLayers(),
        getStack: () => manager.getStack(id),
        count: () => manager.count(),
        claimLayer: () => manager.claimLayer(id, ours, isAlive),
        releaseLayerClaims: () => manager.releaseLayerClaims(ours),
        dropDeadClaims: () => manager.dropDeadClaims(isAlive),
        changeLayer: () => manager.changeLayer(id, { bytes: 1 }),
        putRootfs: () => manager.putRootfs(rootfs('r1', 'c1')),
        forkRootfs: () => manager.forkRootfs(rootfs('r1', 'c1'), rootfs('r2', 'c2'), ours),
        containerOwner: () => manager.containerOwner('c1'),
        setRootfsMounts: () =>
          manager.setRootfsMounts([rootfs('r1', 'c1')], { boot: 'b', namespace: 'n', process: ours }),
        finishRootfs: () => manager.finishRootfs(rootfs('r1', 'c1')),
        rootfsesIn: () => manager.rootfsesIn('c1'),
        forgetRootfses: () => manager.forgetRootfses([rootfs('r1', 'c1')]),
        getContainer: () => manager.getContainer('c1'),
        listContainers: () => manager.listContainers(),
        putLaunch: () => manager.putLaunch({ ...launch, id: 'a', bootId: 'b', spec: '{}', removal: 'keep' }),
        changeLaunch: () => manager.changeLaunch('a', { from: ['starting'] }),
        getLaunch: () => manager.getLaunch('c1'),
        listLaunches: () => manager.listLaunches(),
        unendedLaunches: () => manager.unendedLaunches('c1'),
        forgetLaunches: () => manager.forgetLaunches('c1'),
        noteLaunchEvent: () => manager.noteLaunchEvent({ ...launch, kind: 'oom' }),
        launchEvents: () => manager.launchEvents({ limit: 1 }),
        newestLaunchEvent: () => manager.newestLaunchEvent(),
        takeHoldings: () => manager.takeHoldings({ process: ours, bootId: 'boot' }, []),
        changeHolding: () => manager.changeHolding({ kind: 'cpu', name: '0' }, { from: null }),
        releaseHoldings: () => manager.releaseHoldings([{ kind: 'cpu', name: '0', holder: undefined }]),
        listHoldings: () => manager.listHoldings(),
        putVolume: () => manager.putVolume({ name: 'data', owner: 'me', labels: {} }),
        useVolumes: () => manager.useVolumes({ containerId: 'c1', id: 'r1' }, []),
        claimVolume: () => manager.claimVolume('data', ours, isAlive),
        settleVolume: () => manager.settleVolume('data', ours),
        releaseVolume: () => manager.releaseVolume('data', ours, 'new'),
        beginVolumeRemoval: () => manager.beginVolumeRemoval('data', 'me', ours, isAlive),
        forgetVolume: () => manager.forgetVolume('data', ours),
        getVolume: () => manager.getVolume('data'),
        listVolumes: () => manager.listVolumes(),
        openLease: () => manager.openLease('pull', ours),
        leaseLayers: () => manager.leaseLayers('pull', [id]),
        closeLeases: () => manager.closeLeases(['pull']),
        listLeases: () => manager.listLeases(),
        announcePull: () => manager.announcePull(pull, isAlive),
        reportPull: () => manager.reportPull('pull', { image: id, layers: [] }),
        finishPull: () => manager.finishPull('pull', { kind: 'stored', image: id, names: [] }),
        findPulls: () => manager.findPulls(pull),
        listPulls: () => manager.listPulls(),
        setPinned: () => manager.setPinned(id, true),
        removeUnused: () => manager.removeUnused({ images: [], layers: [] }, ours, false),
        dropUnusedStacks: () => manager.dropUnusedStacks(),
        forgetLayers: () => manager.forgetLayers([id]),
        recordsGap: () => manager.recordsGap(),
        setRecordsGap: () => manager.setRecordsGap('lost'),
        verify: () => manager.verify(),
        requireInPlace: async () => manager.requireInPlace(),
      };
      for (const call of [...Object.values(calls), () => manager.releaseLayerClaims(ours, [id])])
        await expect(call(), String(call)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    });
  });
}
