import { ProvisionerError } from '../errors.js';
import type { ArchivePullerOptions } from './oci-archive.js';
import type { Puller } from './puller.js';
import { formatSource, type PathSource, type Source } from './source.js';

/**
 * The puller for a source. What the source itself says after its path picks the image, unless the caller says otherwise.
 * The pullers are loaded when one is opened: they bring the schema library along, which nothing else needs.
 * @throws ProvisionerError `ERR_SOURCE_UNSUPPORTED` for a registry
 */
export function openSource(source: Source, options: ArchivePullerOptions): Puller {
  if (source.transport === 'docker') {
    throw new ProvisionerError('ERR_SOURCE_UNSUPPORTED', `registries are not supported yet: ${formatSource(source)}`, {
      hint: 'save the image to a file or a layout, and write docker-archive:FILE, oci-archive:FILE or oci:DIR',
      details: { source: formatSource(source) },
    });
  }
  return {
    open: async (wanted) => {
      const puller = await loadPuller(source, options);
      return await puller.open({ ...wanted, reference: wanted.reference ?? source.reference });
    },
  };
}

async function loadPuller(source: PathSource, options: ArchivePullerOptions): Promise<Puller> {
  switch (source.transport) {
    case 'oci': {
      const { OciLayoutPuller } = await import('./oci-layout.js');
      return new OciLayoutPuller(source.path);
    }
    case 'oci-archive': {
      const { OciArchivePuller } = await import('./oci-archive.js');
      return new OciArchivePuller(source.path, options);
    }
    case 'docker-archive': {
      const { DockerArchivePuller } = await import('./docker-archive.js');
      return new DockerArchivePuller(source.path, options);
    }
  }
}
