import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ProvisionerEmitter } from '#src/events.js';
import { Sweeper } from '#src/layer-store/sweeper.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { StorePaths } from '#src/paths.js';
import { STORE_KEEPERS } from '#src/prune/keepers.js';
import { Pruner } from '#src/prune/pruner.js';
import type { Liveness } from '#src/system/locks/liveness.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { dead, digestOf, image, layer, rootfs } from '../contracts/metadata-records.js';
import { processesOf } from '../helpers/liveness.js';
import { temporaryDirectory } from '../helpers/memory-store.js';
import { SharedLock } from '../system/locks/lock-file-in-memory.js';

const opened: { sweeper: Sweeper }[] = [];
afterEach(async () => {
  for (const { sweeper } of opened.splice(0)) {
    await sweeper.idle();
    await sweeper.close();
  }
});

/** A store with records in memory and directories on disk, and what prune is made of. */
async function store() {
  const paths = new StorePaths(join(temporaryDirectory(), 'store'));
  for (const directory of [paths.layers, paths.gc, paths.staging, paths.containers]) {
    mkdirSync(directory, { recursive: true });
  }
  const metadata = new MemoryMetadataManager();
  const sweeper = new Sweeper(paths, new ProvisionerEmitter());
  const storeLock = new StoreLock(() => undefined);
  const { process } = processesOf(paths);
  const shared = { paths, metadata, storeLock, sweeper, syscalls: loadSyscalls, keepers: STORE_KEEPERS };
  const pruner = new Pruner({ ...shared, liveness: process(), isShared: false });
  const made = {
    paths,
    metadata,
    sweeper,
    storeLock,
    pruner,
    process,
    async putLayers(...words: string[]) {
      for (const word of words) {
        mkdirSync(paths.layerRootfs(digestOf(word)), { recursive: true });
        writeFileSync(join(paths.layerRootfs(digestOf(word)), 'file'), word);
        await metadata.putLayers([layer(word, { bytes: word.length })]);
      }
    },
    /** The words of the layers that stand on disk and in the records; fails when these do not agree. */
    async layersAmong(...words: string[]) {
      const recorded = (await metadata.listLayers()).map(({ id }) => id);
      expect(
        readdirSync(paths.layers)
          .map((name) => `sha256:${name}`)
          .sort(),
      ).toEqual(recorded);
      return words.filter((word) => recorded.includes(digestOf(word)));
    },
  };
  opened.push(made);
  return made;
}

/** With two images on one base. */
async function twoImages() {
  const made = await store();
  await made.putLayers('base', 'app layer', 'other layer', 'orphan');
  await made.metadata.putImage(image('app', ['base', 'app layer']), ['docker.io/library/app:latest']);
  await made.metadata.putImage(image('other', ['base', 'other layer']), ['docker.io/library/other:latest']);
  return made;
}

/** Another process that wants a layer. */
function claimant(process: () => Liveness): [string, (identity: string) => boolean] {
  const { identity, isAlive } = process();
  return [identity, isAlive];
}

const WORDS = ['base', 'app layer', 'other layer', 'orphan'] as const;

describe('a prune', () => {
  test('renames what nobody needs into gc, forgets it, and has it swept; what is left is as it was', async () => {
    const { pruner, paths, sweeper, layersAmong } = await twoImages();
    const report = await pruner.prune(['app'], {});
    expect(await layersAmong(...WORDS)).toEqual(['base', 'app layer']);
    expect(report.bytesFreed).toBe('other layer'.length + 'orphan'.length);
    expect(report.plan.bytes).toBe(report.bytesFreed);
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual([]);
    expect(readdirSync(paths.layerRootfs(digestOf('base')))).toEqual(['file']);
  });

  test('a dry run says the same as the real one, and changes nothing, leases of the dead included', async () => {
    const { pruner, paths, metadata, layersAmong } = await twoImages();
    await metadata.openLease('dead', dead);
    await metadata.leaseLayers('dead', [digestOf('orphan')]);
    const dry = await pruner.prune(['app'], { dryRun: true });
    expect(dry).toMatchObject({ dryRun: true, lockHeld: 0, lockWaited: 0 });
    expect(await layersAmong(...WORDS)).toEqual(WORDS);
    expect(await metadata.listImages()).toHaveLength(2);
    expect(await metadata.listLeases()).toHaveLength(1);
    expect(readdirSync(paths.gc)).toEqual([]);
    const real = await pruner.prune(['app'], {});
    expect(real.images).toEqual(dry.images);
    expect(real.layers).toEqual(dry.layers);
    expect(real.bytesFreed).toBe(dry.bytesFreed);
    expect(await metadata.listLeases()).toEqual([]);
  });

  test('a lease of a living process keeps its layers, that of a dead one does not', async () => {
    const { pruner, metadata, layersAmong, process } = await twoImages();
    await metadata.openLease('living', process().identity);
    await metadata.leaseLayers('living', ['base', 'not here yet'].map(digestOf));
    await metadata.openLease('dead', dead);
    await metadata.leaseLayers('dead', [digestOf('orphan')]);
    await pruner.prune([], {});
    expect(await layersAmong(...WORDS)).toEqual(['base']);
    expect((await metadata.listLeases()).map(({ pull }) => pull)).toEqual(['living']);
  });

  test.each<[string, (made: Awaited<ReturnType<typeof twoImages>>) => Promise<unknown>, string[]]>([
    ['an image is tagged', ({ metadata }) => metadata.addName('app:v2', image('app', []).id), ['base', 'app layer']],
    ['an image is pinned', ({ metadata }) => metadata.setPinned(image('app', []).id, true), ['base', 'app layer']],
    ['an image is provisioned', ({ metadata }) => metadata.putRootfs(rootfs('r', 'c')), ['base', 'app layer']],
    [
      'an image is pulled again',
      async ({ metadata }) => {
        await sleep(2);
        await metadata.putImage(image('app', ['base', 'app layer']), []);
      },
      ['base', 'app layer'],
    ],
    ['a new image takes a layer up', ({ metadata }) => metadata.putImage(image('new', ['orphan']), []), ['orphan']],
    [
      'a pull leases a layer',
      async ({ metadata, process }) => {
        await metadata.openLease('pull', process().identity);
        await metadata.leaseLayers('pull', [digestOf('orphan')]);
      },
      ['orphan'],
    ],
  ])(
    'what is taken up between the decision and the lock stays, and the report says so: %s',
    async (_, change, stays) => {
      const made = await twoImages();
      const { pruner, storeLock, layersAmong } = made;
      let pruning: ReturnType<Pruner['prune']> | undefined;
      await storeLock.withShared(async () => {
        pruning = pruner.prune([], {});
        // Long enough for it to have come to the lock, however busy the machine is.
        await sleep(150);
        await change(made);
      });
      const report = await pruning;
      expect(await layersAmong(...WORDS)).toEqual(stays);
      const changed = report?.layers.filter(({ reasons }) => reasons.some(({ kind }) => kind === 'changed'));
      expect(changed?.map(({ id }) => id).sort()).toEqual(stays.map(digestOf).sort());
      const gone = WORDS.filter((word) => !stays.includes(word));
      expect(report?.bytesFreed).toBe(gone.reduce((sum, word) => sum + word.length, 0));
      expect(report?.lockWaited).toBeGreaterThan(15);
    },
  );

  test('waits for those who share the lock, and can be cancelled until it has it', async () => {
    const { pruner, storeLock, layersAmong } = await twoImages();
    const abort = new AbortController();
    await storeLock.withShared(async () => {
      const pruning = pruner.prune([], { signal: abort.signal });
      await sleep(20);
      abort.abort();
      await expect(pruning).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    });
    expect(await layersAmong(...WORDS)).toEqual(WORDS);
  });

  test('a layer whose directory is gone already is taken out of the records', async () => {
    const { pruner, metadata, paths } = await store();
    await metadata.putLayers([layer('no directory')]);
    const report = await pruner.prune([], {});
    expect(report.layers).toHaveLength(1);
    expect(await metadata.listLayers()).toEqual([]);
    expect(readdirSync(paths.gc)).toEqual([]);
  });

  test('gives its claims back, so that what it took can be had again', async () => {
    const { pruner, metadata, process } = await twoImages();
    await pruner.prune([], {});
    for (const word of WORDS) {
      expect(await metadata.claimLayer(digestOf(word), ...claimant(process))).toEqual({ state: 'claimed' });
    }
  });

  test('while it renames, a layer that it takes is claimed, also against pulls of its own process', async () => {
    const { pruner, metadata, sweeper, process } = await twoImages();
    const seen: string[] = [];
    const mark = sweeper.mark.bind(sweeper);
    const asked: Promise<void>[] = [];
    sweeper.mark = (directory, name) => {
      const claim = metadata.claimLayer(`sha256:${name}`, ...claimant(process));
      asked.push(claim.then(({ state }) => void seen.push(state)));
      return mark(directory, name);
    };
    await pruner.prune([], {});
    await Promise.all(asked);
    expect(seen).toEqual(Array(4).fill('busy'));
  });

  test('what could not be renamed is told, is recorded as before, and is in nobody’s way', async () => {
    const { pruner, metadata, sweeper, paths, process } = await twoImages();
    const mark = sweeper.mark.bind(sweeper);
    sweeper.mark = () => {
      throw Object.assign(new Error('EBUSY: resource busy'), { code: 'EBUSY' });
    };
    expect((await pruner.prune([], {})).failed).toHaveLength(WORDS.length);
    sweeper.mark = mark;
    for (const word of WORDS) {
      expect(await metadata.claimLayer(digestOf(word), ...claimant(process))).toEqual({ state: 'recorded' });
    }
    expect(existsSync(paths.layer(digestOf('base')))).toBe(true);
  });

  test('claims that could not be given back keep nobody waiting, and are gone after the next prune', async () => {
    const { pruner, metadata, sweeper, paths, process } = await twoImages();
    const release = metadata.releaseLayerClaims.bind(metadata);
    metadata.releaseLayerClaims = () => Promise.reject(new Error('the disk is full'));
    expect((await pruner.prune([], {})).layers.every(({ reasons }) => reasons.length === 0)).toBe(true);
    metadata.releaseLayerClaims = release;
    // What it took is swept all the same.
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual([]);
    expect(await metadata.claimLayer(digestOf('base'), ...claimant(process))).toEqual({ state: 'claimed' });
    await pruner.prune([], {});
    expect(await metadata.claimLayer(digestOf('orphan'), 'another', () => true)).toEqual({ state: 'claimed' });
  });

  test('refuses where other processes have the store open and no lock keeps them in order', async () => {
    const { paths, metadata, sweeper, layersAmong, process } = await twoImages();
    const files = { paths, metadata, sweeper, syscalls: loadSyscalls };
    const parts = { ...files, keepers: STORE_KEEPERS, liveness: process(), isShared: true };
    const without = new Pruner({ ...parts, storeLock: new StoreLock(() => undefined) });
    await expect(without.prune([], {})).rejects.toMatchObject({ code: 'ERR_NATIVE_MISSING' });
    expect(await layersAmong(...WORDS)).toEqual(WORDS);
    expect((await without.prune([], { dryRun: true })).plan.layers).toHaveLength(4);
    const shared = new SharedLock();
    await new Pruner({ ...parts, storeLock: new StoreLock(() => shared.open()) }).prune([], {});
    expect(await layersAmong(...WORDS)).toEqual([]);
    expect(shared.isFree).toBe(true);
  });

  test('a bad exclusion is refused before anything is looked at', async () => {
    const { pruner, metadata } = await twoImages();
    await metadata.close();
    await expect(pruner.prune(['app', 'a b'], {})).rejects.toMatchObject({ code: 'ERR_BAD_REFERENCE' });
  });
});

describe('a plan', () => {
  test('is carried out to the letter: what is new since stays', async () => {
    const { pruner, metadata, layersAmong, putLayers } = await twoImages();
    const { plan } = await pruner.prune(['app'], { dryRun: true });
    await putLayers('new layer');
    await metadata.putImage(image('new', ['new layer', 'base']), ['new:latest']);
    const report = await pruner.apply(plan, undefined);
    expect(await layersAmong(...WORDS, 'new layer')).toEqual(['base', 'app layer', 'new layer']);
    expect(report).toMatchObject({ dryRun: false, plan, bytesFreed: plan.bytes });
    expect(report.layers.map(({ id }) => id).sort()).toEqual(plan.layers.map(({ id }) => id).sort());
    await expect(pruner.apply(plan, undefined)).rejects.toMatchObject({ code: 'ERR_PLAN_OUTDATED' });
  });

  test('that takes nothing can be carried out', async () => {
    const { pruner, layersAmong } = await twoImages();
    const { plan } = await pruner.prune(['app', 'other'], { dryRun: true });
    await pruner.apply({ ...plan, layers: [], bytes: 0 }, undefined);
    expect(await layersAmong(...WORDS)).toEqual(WORDS);
  });

  test('is not in the way of a lease of a dead process', async () => {
    const { pruner, metadata, layersAmong } = await twoImages();
    const { plan } = await pruner.prune([], { dryRun: true });
    await metadata.openLease('dead', dead);
    await metadata.leaseLayers('dead', [digestOf('base')]);
    await pruner.apply(plan, undefined);
    expect(await layersAmong(...WORDS)).toEqual([]);
  });
});

describe('a layer that cannot be renamed', () => {
  /** Renaming this layer fails so; the others can be. */
  function resist(sweeper: Sweeper, path: string, code: string): () => void {
    const mark = sweeper.mark.bind(sweeper);
    const spy = vi.spyOn(sweeper, 'mark').mockImplementation((directory, name) => {
      if (directory === path) throw Object.assign(new Error(`${code}: rename '${path}'`), { code });
      return mark(directory, name);
    });
    return () => spy.mockRestore();
  }

  test.each(['EPERM', 'EBUSY', 'EXDEV', 'EROFS', 'EIO'])(
    'for %s stays as it was, record and all, is told, and goes with the next prune that can take it',
    async (code) => {
      const { pruner, paths, metadata, sweeper, layersAmong } = await twoImages();
      const before = await metadata.getLayer(digestOf('base'));
      const path = paths.layer(digestOf('base'));
      const end = resist(sweeper, path, code);
      const report = await pruner.prune([], {});
      expect(await layersAmong(...WORDS)).toEqual(['base']);
      expect(await metadata.getLayer(digestOf('base'))).toEqual(before);
      expect(report.failed).toMatchObject([
        { path, message: expect.stringContaining(code === 'EROFS' ? 'read-only' : code) },
      ]);
      expect(report.layers.filter(({ reasons }) => reasons.length > 0)).toMatchObject([
        { id: digestOf('base'), reasons: [{ kind: 'failed', path }] },
      ]);
      expect(report.bytesFreed).toBe(report.plan.bytes - 'base'.length);
      expect(await metadata.claimLayer(digestOf('base'), 'another', () => true)).toEqual({ state: 'recorded' });
      end();
      expect((await pruner.prune([], {})).failed).toEqual([]);
      expect(await layersAmong(...WORDS)).toEqual([]);
    },
  );

  test('does not stop what a plan names either', async () => {
    const { pruner, paths, sweeper, layersAmong } = await twoImages();
    const { plan } = await pruner.prune([], { dryRun: true });
    resist(sweeper, paths.layer(digestOf('orphan')), 'EPERM');
    const { failed } = await pruner.apply(plan, undefined);
    expect(failed.map(({ path }) => path)).toEqual([paths.layer(digestOf('orphan'))]);
    expect(await layersAmong(...WORDS)).toEqual(['orphan']);
  });

  test('for a fault of the program ends the prune, and all that has not been renamed is recorded again', async () => {
    const { pruner, sweeper, layersAmong } = await twoImages();
    const mark = sweeper.mark.bind(sweeper);
    let calls = 0;
    vi.spyOn(sweeper, 'mark').mockImplementation((directory, name) => {
      if (++calls === 2) throw new TypeError('a fault');
      return mark(directory, name);
    });
    await expect(pruner.prune([], {})).rejects.toThrow('a fault');
    expect(await layersAmong(...WORDS)).toHaveLength(3);
  });
});
