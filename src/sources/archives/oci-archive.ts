import { checkLayoutVersion } from '../../image/manifest.js';
import type { InflateArchive } from '../../unpack/inflate-archive.js';
import { offerOciImages } from '../oci-images.js';
import type { Choices, Offer, Puller, PullOptions } from '../puller.js';
import { malformedSource } from '../source-errors.js';
import { Archive } from './archive.js';

/** What pullers over archives need besides the archive. */
export interface ArchivePullerOptions {
  /** Where a compressed or piped archive is spooled to while its offer is open. */
  readonly stagingDirectory: string;
  /** @see SpoolOptions.freeSpaceReserve */
  readonly freeSpaceReserve?: number | undefined;
  /** Where foreign bytes are inflated. */
  readonly inflate: InflateArchive;
}

/**
 * Images in an archive of an OCI layout, which is read where it lies.
 * @see OCI image-spec, image-layout.md; `oci-layout.ts` draws what is in it
 */
export class OciArchivePuller implements Puller {
  readonly #file: string;
  readonly #options: ArchivePullerOptions;

  constructor(file: string, options: ArchivePullerOptions) {
    this.#file = file;
    this.#options = options;
  }

  open(options: PullOptions): Promise<Offer> {
    const spool = { ...this.#options, signal: options.signal };
    return Archive.offer({ kind: 'file', path: this.#file }, spool, (archive) =>
      offerOciArchive(archive, 'one', options),
    );
  }
}

/** @param wanted as for `offerOciImages` */
export async function offerOciArchive(archive: Archive, wanted: 'one' | 'all', options: PullOptions): Promise<Choices> {
  if (!archive.has('oci-layout')) {
    const hint = 'it is an archive of docker save; write docker-archive:FILE';
    throw malformedSource(archive.label, 'oci-layout is missing', archive.has('manifest.json') ? { hint } : {});
  }
  checkLayoutVersion(await archive.readDocument('oci-layout'), `oci-layout of ${archive.label}`);
  return await offerOciImages(await archive.readDocument('index.json'), archive.blobs(options.signal), wanted, options);
}
