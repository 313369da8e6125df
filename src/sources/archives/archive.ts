import { ProvisionerError } from '../../base/errors.js';
import { digestAlgorithm, digestHex } from '../../image/digest.js';
import { checkDocumentSize } from '../../image/manifest.js';
import { decodeText, FileBlobs, readLocation } from '../blob-access.js';
import type { Choices, FileLocation, Offer } from '../puller.js';
import { malformedSource } from '../source-errors.js';
import { ArchiveIndex } from './archive-index.js';
import { type ArchiveInput, openPlainArchive, type PlainArchive, type SpoolOptions } from './archive-spool.js';

/** An archive of either kind, opened and indexed. */
export class Archive {
  readonly #archive: PlainArchive;
  readonly #index: ArchiveIndex;

  private constructor(archive: PlainArchive, index: ArchiveIndex) {
    this.#archive = archive;
    this.#index = index;
  }

  /**
   * Opens an archive and keeps it open for the offer that `choose` makes of it; when that fails, nothing stays open.
   * @throws what `openPlainArchive` and `ArchiveIndex.read` throw
   */
  static async offer(
    input: ArchiveInput,
    options: SpoolOptions,
    choose: (archive: Archive) => Promise<Choices>,
  ): Promise<Offer> {
    const plain = await openPlainArchive(input, options);
    try {
      const index = await ArchiveIndex.read(plain.path, plain.label, options.signal);
      const choices = await choose(new Archive(plain, index));
      return { ...choices, close: () => plain.close() };
    } catch (error) {
      await plain.close();
      throw error;
    }
  }

  get label(): string {
    return this.#archive.label;
  }

  has(name: string): boolean {
    return this.#index.has(name);
  }

  /** @throws ProvisionerError `ERR_BLOB_NOT_FOUND` */
  find(name: string): FileLocation {
    const location = this.#index.find(name);
    if (location !== undefined) return location;
    throw new ProvisionerError('ERR_BLOB_NOT_FOUND', `${this.label} lacks ${JSON.stringify(name.slice(0, 300))}`, {
      hint: 'the archive was not written whole; make it again',
      details: { name: name.slice(0, 300), path: this.#archive.path },
    });
  }

  /** A document that no digest vouches for. @throws ProvisionerError `ERR_SOURCE_MALFORMED` when it is missing */
  async readDocument(name: string): Promise<string> {
    const location = this.#index.find(name);
    if (location === undefined) throw malformedSource(this.label, `${name} is missing`);
    const subject = `${name.slice(0, 300)} of ${this.label}`;
    checkDocumentSize(location.size, subject);
    return decodeText(await readLocation(location, subject), subject);
  }

  /** The blobs of an OCI layout in this archive. */
  blobs(signal: AbortSignal | undefined): FileBlobs {
    const find = async (digest: string): Promise<FileLocation> =>
      this.find(`blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`);
    return new FileBlobs(this.label, find, signal);
  }
}
