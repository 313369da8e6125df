import { afterEach, beforeEach, describe, vi } from 'vitest';
import type { MetadataManager } from '#src/metadata/metadata-manager.js';
import { clockContract } from './metadata-clock.js';
import { containerContract } from './metadata-containers.js';
import { imageContract } from './metadata-images.js';
import { layerContract } from './metadata-layers.js';
import { leaseContract } from './metadata-leases.js';
import { pruneContract } from './metadata-prune.js';
import type { MetadataContractContext } from './metadata-records.js';

/**
 * What every metadata manager promises.
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
    containerContract(context);
    leaseContract(context);
    pruneContract(context);
    clockContract(context);
  });
}
