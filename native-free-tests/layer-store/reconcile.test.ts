import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ProvisionerEmitter } from '#src/events.js';
import { digestHex, type LayerId } from '#src/image/digest.js';
import { reconcileLayers } from '#src/layer-store/reconcile-layers.js';
import { reconcileStaging } from '#src/layer-store/reconcile-staging.js';
import { Sweeper } from '#src/layer-store/sweeper.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import type { LayerRecord } from '#src/metadata/metadata-manager.js';
import { StorePaths } from '#src/paths.js';
import { openStoreDirectory } from '#src/store-directory/open-store-directory.js';
import type { Liveness } from '#src/system/locks/liveness.js';
import { PROBE, transientName } from '#src/system/locks/process-identity.js';
import { ShortHolds } from '#src/system/locks/short-holds.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { processesOf } from '../helpers/liveness.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const LAYER: LayerId = `sha256:${'a'.repeat(64)}`;
const DEAD = `${'d'.repeat(32)}.999999999`;

function record(id: LayerId): LayerRecord {
  return {
    id,
    bytes: 0,
    entries: 0,
    opaqueRoot: false,
    whiteouts: false,
    describesRoot: false,
    tar: 'off',
    tarBytes: 0,
  };
}

/** A new store's directories, and what takes directories away. */
async function withStore(
  work: (paths: StorePaths, sweeper: Sweeper, process: () => Liveness) => Promise<void>,
): Promise<void> {
  const paths = new StorePaths(join(temporaryDirectory(), 'store'));
  const { process } = processesOf(paths);
  openStoreDirectory(paths, loadSyscalls, process(), { allowDegraded: true }).complete();
  const sweeper = new Sweeper(paths, new ProvisionerEmitter());
  try {
    await work(paths, sweeper, process);
  } finally {
    await sweeper.close();
  }
}

describe('recovery, while a pull stores a layer', () => {
  for (const moment of ['before', 'after'] as const) {
    it(`keeps the layer when it is stored right ${moment} the records are read`, async () => {
      let store = () => {};
      class Interrupted extends MemoryMetadataManager {
        override async listLayers(): Promise<LayerRecord[]> {
          if (moment === 'before') store();
          const layers = await super.listLayers();
          if (moment === 'after') store();
          return layers;
        }
      }
      const metadata = new Interrupted();
      await withStore(async (paths, sweeper, process) => {
        store = () => {
          mkdirSync(paths.layerRootfs(LAYER), { recursive: true });
          void metadata.putLayers([record(LAYER)]);
        };
        const storeLock = new StoreLock(() => undefined);
        const parts = { paths, metadata, sweeper, liveness: process(), storeLock };
        const report = await reconcileLayers(parts, new ShortHolds(storeLock, 'recover'));
        expect(report).toMatchObject({ forgottenLayers: [], retired: [] });
        expect(await metadata.getLayer(LAYER)).toBeDefined();
        expect(readdirSync(paths.layers)).toEqual([digestHex(LAYER)]);
      });
    });
  }
});

describe('recovery, of what dead processes left in the records and in staging', () => {
  it('drops their claims on layers, and those of nobody else', async () => {
    const metadata = new MemoryMetadataManager();
    const other: LayerId = `sha256:${'b'.repeat(64)}`;
    await withStore(async (paths, sweeper, process) => {
      const living = process().identity;
      await metadata.claimLayer(LAYER, DEAD, () => true);
      await metadata.claimLayer(other, living, () => true);
      await reconcileStaging({ paths, metadata, sweeper, syscalls: loadSyscalls, liveness: process() });
      expect(await metadata.claimLayer(LAYER, process().identity, () => true)).toEqual({ state: 'claimed' });
      expect(await metadata.claimLayer(other, process().identity, () => true)).toEqual({
        state: 'busy',
        holder: living,
      });
    });
  });

  it('takes the directory of a probe whose process is dead, and leaves one whose process is at it', async () => {
    const metadata = new MemoryMetadataManager();
    await withStore(async (paths, sweeper, process) => {
      const living = `${transientName(PROBE, process().identity)}abc`;
      const dead = `${transientName(PROBE, DEAD)}abc`;
      for (const name of [living, dead]) mkdirSync(join(paths.staging, name));
      const { retired } = await reconcileStaging({
        paths,
        metadata,
        sweeper,
        syscalls: loadSyscalls,
        liveness: process(),
      });
      expect(retired).toEqual([join(paths.staging, dead)]);
      expect(readdirSync(paths.staging)).toEqual([living]);
    });
  });
});
