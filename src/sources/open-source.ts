import type { Reference } from '../image/reference.js';
import type { Repository } from '../registry/repository.js';
import type { ArchivePullerOptions } from './archives/oci-archive.js';
import type { Puller } from './puller.js';
import type { Source } from './source.js';

export interface OpenSourceOptions extends ArchivePullerOptions {
  /** How a registry is reached. */
  readonly openRepository: (reference: Reference, signal: AbortSignal | undefined) => Promise<Repository>;
}

/**
 * The puller for a source. What the source itself says after its path picks the image, unless the caller says otherwise.
 * The pullers are loaded when one is opened: they bring the schema library along, which nothing else needs.
 */
export function openSource(source: Source, options: OpenSourceOptions): Puller {
  return {
    open: async (wanted) => {
      const puller = await loadPuller(source, options);
      if (source.transport === 'docker') return await puller.open(wanted);
      return await puller.open({ ...wanted, reference: wanted.reference ?? source.reference });
    },
  };
}

async function loadPuller(source: Source, options: OpenSourceOptions): Promise<Puller> {
  switch (source.transport) {
    case 'docker': {
      const { RegistryPuller } = await import('./registry-puller.js');
      return new RegistryPuller(source.reference, (signal) => options.openRepository(source.reference, signal));
    }
    case 'oci': {
      const { OciLayoutPuller } = await import('./oci-layout.js');
      return new OciLayoutPuller(source.path);
    }
    case 'oci-archive': {
      const { OciArchivePuller } = await import('./archives/oci-archive.js');
      return new OciArchivePuller(source.path, options);
    }
    case 'docker-archive': {
      const { DockerArchivePuller } = await import('./archives/docker-archive.js');
      return new DockerArchivePuller(source.path, options);
    }
  }
}
