import type { UnpackLimits } from '../base/config.js';
import type { Digest } from '../image/digest.js';
import type { Platform } from '../image/platform.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import type { ArchiveInput } from '../sources/archives/archive-spool.js';
import type { Offer, StoredImage } from '../sources/puller.js';
import type { Source } from '../sources/source.js';
import { inflateOnThread } from '../workers/inflate-on-thread.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import type { Registries } from './registries.js';

/** Reads what a source offers, with a directory for what it has to write out. */
export type OpenOffer = (staging: string, signal: AbortSignal) => Promise<Offer>;

interface OpeningNeeds {
  readonly pool: WorkerPool;
  readonly limits: Pick<UnpackLimits, 'freeSpaceReserve'>;
  readonly registries: Registries;
}

/* What reads each kind of source is loaded when one is opened. */

export function openingSource(
  { pool, limits, registries }: OpeningNeeds,
  source: Source,
  wanted: {
    readonly platform: Platform;
    readonly registry: RegistryOptions;
    readonly stored: (digest: Digest) => Promise<StoredImage | undefined>;
  },
): OpenOffer {
  const { platform, registry, stored } = wanted;
  return async (stagingDirectory, signal) => {
    const { openSource } = await import('../sources/open-source.js');
    const { freeSpaceReserve } = limits;
    const inflate = inflateOnThread(pool);
    const openRepository = registries.opener(registry);
    const puller = openSource(source, { stagingDirectory, freeSpaceReserve, inflate, openRepository });
    return puller.open({ platform, signal, stored });
  };
}

export function openingArchive({ pool, limits }: OpeningNeeds, input: ArchiveInput, platform: Platform): OpenOffer {
  return async (stagingDirectory, signal) => {
    const { openArchive } = await import('../sources/archives/open-archive.js');
    const { freeSpaceReserve } = limits;
    return openArchive(input, { platform, signal, stagingDirectory, freeSpaceReserve, inflate: inflateOnThread(pool) });
  };
}
