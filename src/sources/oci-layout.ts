import { type FileHandle, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, ProvisionerError, systemCode, throwIfAborted } from '../base/errors.js';
import { LeadsOutError, NotRegularError, openForeignFile } from '../base/foreign-file.js';
import { absolutePath } from '../base/working-directory.js';
import { type Digest, digestAlgorithm, digestHex } from '../image/digest.js';
import { checkDocumentSize, checkLayoutVersion } from '../image/manifest.js';
import { decodeText, FileBlobs, readLocation } from './blob-access.js';
import { offerOciImages } from './oci-images.js';
import type { FileLocation, Offer, Puller, PullOptions } from './puller.js';
import { malformedSource, sourceNotFound } from './source-errors.js';

/**
 * Images in a directory with an OCI layout:
 *
 *   <directory>/
 *   ├── oci-layout                  the layout's version
 *   ├── index.json                  what images there are
 *   └── blobs/<algorithm>/<hex>     everything else, named by its digest
 *
 * The directory may come from anywhere, and somebody may change it while it is read: a link in it that leads out of it is refused, so that a layout
 * cannot make its reader open files elsewhere, and so is all that is no regular file. Links that stay inside are followed: some tools share blobs so.
 * @see OCI image-spec, image-layout.md
 */
export class OciLayoutPuller implements Puller {
  readonly #directory: string;
  readonly #label: string;

  constructor(directory: string) {
    this.#directory = absolutePath(directory);
    this.#label = `the OCI layout ${this.#directory}`;
  }

  async open(options: PullOptions): Promise<Offer> {
    throwIfAborted(options.signal);
    const root = await this.#findRoot();
    checkLayoutVersion(await this.#readOwn(root, 'oci-layout'), `oci-layout of ${this.#label}`);
    const index = await this.#readOwn(root, 'index.json');
    const blobs = new FileBlobs(this.#label, (digest) => this.#findBlob(root, digest), options.signal);
    const choices = await offerOciImages(index, blobs, 'one', options);
    return { ...choices, close: async () => undefined };
  }

  /** The directory with all links resolved: what "inside" is measured against. */
  async #findRoot(): Promise<string> {
    try {
      const root = await realpath(this.#directory);
      if ((await stat(root)).isDirectory()) return root;
    } catch (error) {
      if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR')
        throw sourceNotFound(this.#label, this.#directory, error);
      throw fileError(error, 'open the OCI layout', this.#directory);
    }
    throw new ProvisionerError('ERR_BAD_SOURCE', `${this.#directory} is not a directory`, {
      hint: 'write oci-archive:FILE or docker-archive:FILE for an archive',
      details: { path: this.#directory },
    });
  }

  async #readOwn(root: string, name: 'oci-layout' | 'index.json'): Promise<string> {
    const location = await this.#locate(root, name);
    if (location === undefined) throw malformedSource(this.#label, `${name} is missing`);
    const subject = `${name} of ${this.#label}`;
    checkDocumentSize(location.size, subject);
    return decodeText(await readLocation(location, subject), subject);
  }

  async #findBlob(root: string, digest: Digest): Promise<FileLocation> {
    // A digest has been checked to hold nothing but hex digits, so it cannot lead anywhere else.
    const name = join('blobs', digestAlgorithm(digest), digestHex(digest));
    const location = await this.#locate(root, name);
    if (location !== undefined) return location;
    const path = join(this.#directory, name);
    throw new ProvisionerError('ERR_BLOB_NOT_FOUND', `${this.#label} lacks the blob ${digest}, looked for at ${path}`, {
      hint: 'the layout was not copied whole, or its blobs are kept elsewhere; make or copy it again',
      details: { digest, path },
    });
  }

  /** Undefined when there is no such file. What it finds may be another thing when it is read: it is opened with the same care then. */
  async #locate(root: string, name: string): Promise<FileLocation | undefined> {
    const path = join(root, name);
    let file: FileHandle | undefined;
    try {
      file = await openForeignFile(path, { inside: root });
      const { size } = await file.stat();
      return { kind: 'file', path, offset: 0, size, inside: root };
    } catch (error) {
      if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
      if (error instanceof LeadsOutError) throw malformedSource(this.#label, `${name} is a link that leads out of it`);
      if (error instanceof NotRegularError)
        throw malformedSource(this.#label, `${name} is ${error.found}, not a regular file`);
      throw fileError(error, 'find a file of the layout', path);
    } finally {
      await file?.close();
    }
  }
}
