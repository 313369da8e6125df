import { existsSync, mkdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Holders } from '#src/containers/holders.js';
import { RootfsDirectories } from '#src/containers/rootfses/rootfs-directories.js';
import type { RootfsPlace } from '#src/containers/rootfses/rootfs-place.js';
import { UnrecordedRootfses } from '#src/containers/unrecorded-rootfses.js';
import { ProvisionerEmitter } from '#src/events.js';
import { Sweeper } from '#src/layer-store/sweeper.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { StorePaths } from '#src/paths.js';
import { ShortHolds } from '#src/system/locks/short-holds.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { image, layer, rootfs } from '../contracts/metadata-records.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const sweepers: Sweeper[] = [];
afterEach(async () => {
  for (const sweeper of sweepers.splice(0)) {
    await sweeper.idle();
    await sweeper.close();
  }
});

async function bench() {
  const paths = new StorePaths(temporaryDirectory());
  for (const directory of [paths.containers, paths.gc]) mkdirSync(directory);
  const metadata = new MemoryMetadataManager();
  await metadata.putLayers([layer('base')]);
  await metadata.putImage(image('app', ['base']), []);
  const sweeper = new Sweeper(paths, new ProvisionerEmitter());
  sweepers.push(sweeper);
  const directories = new RootfsDirectories(paths, sweeper, loadSyscalls);
  const storeLock = new StoreLock(() => undefined);
  const uses = new Map<string, string>();
  const containers = {
    takeApart: async (place: RootfsPlace) => {
      expect(storeLock.isHeldAlone).toBe(true);
      return directories.remove(place, []);
    },
    possibleUse: ({ id }: RootfsPlace) => uses.get(id),
  };
  const holds = { count: 0, before: async () => {} };
  const hold = storeLock.withExclusive.bind(storeLock);
  storeLock.withExclusive = async (...args) => {
    holds.count++;
    await holds.before();
    return hold(...args);
  };
  const needs = { paths, metadata, storeLock, containers, directories, holders: new Holders() };
  return {
    metadata,
    directories,
    holds,
    uses,
    make: (place: RootfsPlace) => directories.create(place).rootfs,
    run: () => new UnrecordedRootfses(needs).reconcile(new ShortHolds(storeLock, 'recover'), undefined),
  };
}

describe('rootfses on disk that no record names', () => {
  it('are taken apart with the lock held alone, which is not taken when there are none', async () => {
    const { make, run, holds, metadata } = await bench();
    await metadata.putRootfs(rootfs('r1', 'recorded'));
    make(rootfs('r1', 'recorded'));
    expect(await run()).toMatchObject({ retired: [], untrusted: [], failed: [] });
    expect(holds.count).toBe(0);
    const left = make(rootfs('r2', 'left'));
    expect((await run()).retired).toEqual([left]);
    expect(existsSync(left)).toBe(false);
    expect(holds.count).toBe(1);
  });

  it('are left when they have been recorded between the look and the lock', async () => {
    const { make, run, holds, metadata } = await bench();
    const made = make(rootfs('r1', 'job'));
    holds.before = () => metadata.putRootfs(rootfs('r1', 'job'));
    expect(await run()).toMatchObject({ retired: [], untrusted: [], failed: [] });
    expect(holds.count).toBe(1);
    expect(existsSync(made)).toBe(true);
  });

  it('are not told when they have gone between the look and the lock', async () => {
    const { make, run, holds, directories } = await bench();
    make(rootfs('r1', 'job'));
    holds.before = async () => {
      await directories.remove(rootfs('r1', 'job'), []);
    };
    expect(await run()).toMatchObject({ retired: [], untrusted: [], failed: [] });
    expect(holds.count).toBe(1);
  });

  it('are left when the records have got a gap between the look and the lock, and they may be in use', async () => {
    const { make, run, holds, metadata, uses } = await bench();
    const made = make(rootfs('r1', 'job'));
    uses.set('r1', 'is mounted');
    holds.before = () => metadata.setRecordsGap('older');
    const { retired, untrusted } = await run();
    expect(retired).toEqual([]);
    expect(untrusted).toMatchObject([{ containerId: 'job', reason: expect.stringContaining('is mounted') }]);
    expect(existsSync(made)).toBe(true);
    expect(await metadata.recordsGap()).toBe('older');
  });

  it('close the gap of the records in the hold in which the last of them has gone', async () => {
    const { make, run, holds, metadata, uses } = await bench();
    await metadata.setRecordsGap('lost');
    make(rootfs('r1', 'free'));
    make(rootfs('r2', 'used'));
    uses.set('r2', 'is a copy');
    expect(await run()).toMatchObject({ gap: 'lost', untrusted: [{ containerId: 'used' }] });
    expect(await metadata.recordsGap()).toBe('lost');
    uses.clear();
    expect(await run()).toMatchObject({ gap: 'lost', untrusted: [] });
    expect(await metadata.recordsGap()).toBeUndefined();
    expect(holds.count).toBe(2);
  });
});
