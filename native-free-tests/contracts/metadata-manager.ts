import { afterEach, beforeEach, describe, vi } from 'vitest';
import type { MetadataManager } from '#src/metadata/metadata-manager.js';
import { clockContract } from './metadata-clock.js';
import { holdingContract } from './metadata-holdings.js';
import { imageContract } from './metadata-images.js';
import { launchContract } from './metadata-launches.js';
import { layerContract } from './metadata-layers.js';
import { leaseContract } from './metadata-leases.js';
import { pullContract } from './metadata-pulls.js';
import type { MetadataContractContext } from './metadata-records.js';
import { removalContract } from './metadata-removals.js';
import { rootfsContract } from './metadata-rootfses.js';
import { stateContract } from './metadata-state.js';
import { volumeContract } from './metadata-volumes.js';

/**
 * What every metadata manager promises: the sum of what each section does, and what holds for several when the clock jumps.
 * @param open makes an empty one; the contract closes it
 */
export function metadataManagerContract(
  name: string,
  open: () => Promise<MetadataManager>,
  { readsNul = true }: Partial<Pick<MetadataContractContext, 'readsNul'>> = {},
): void {
  describe(`${name} keeps the contract of a metadata manager`, () => {
    let manager: MetadataManager;
    const context: MetadataContractContext = {
      readsNul,
      get manager() {
        return manager;
      },
    };

    beforeEach(async () => {
      manager = await open();
    });

    afterEach(async () => {
      vi.restoreAllMocks();
      await manager.close();
    });

    imageContract(context);
    layerContract(context);
    rootfsContract(context);
    launchContract(context);
    holdingContract(context);
    volumeContract(context);
    leaseContract(context);
    pullContract(context);
    removalContract(context);
    stateContract(context);
    clockContract(context);
  });
}
