import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { fileError, ProvisionerError, throwIfAborted } from '../base/errors.js';
import { openForeignFile } from '../base/foreign-file.js';
import { type Digest, digestAlgorithm } from '../image/digest.js';
import { checkDocumentValues } from '../image/document-limits.js';
import { checkDocumentSize, type Descriptor } from '../image/manifest.js';
import { SparseReader } from '../system/tar/sparse-reader.js';
import type { BlobLocation, FileLocation } from './puller.js';
import { malformedSource, truncatedSource } from './source-errors.js';

/** Documents above this size let others have a turn between being checked and being parsed. */
const TURN_BYTES = 256 * 1024;

/** What a document is read as, for messages; a registry keeps configs among the blobs. */
export type DocumentRole = 'the manifest' | 'the index' | 'the config';

/** How the images of a source are reached, whatever the source is: the choice of an image is written on top of this. */
export interface BlobAccess {
  /** For messages: `the layout /images/app`. */
  readonly label: string;
  /**
   * Reads a manifest, an index or a config.
   * @returns its text, of exactly the size and digest that the descriptor states
   */
  readDocument(descriptor: Descriptor, role: DocumentRole): Promise<string>;
  /** Finds a layer without reading it. */
  locateLayer(descriptor: Descriptor): Promise<BlobLocation>;
}

/** A `BlobAccess` over blobs that lie in files. */
export class FileBlobs implements BlobAccess {
  readonly label: string;
  readonly #find: (digest: Digest) => Promise<FileLocation>;
  readonly #signal: AbortSignal | undefined;

  /** @param find throws `ERR_BLOB_NOT_FOUND` where there is no such blob */
  constructor(label: string, find: (digest: Digest) => Promise<FileLocation>, signal?: AbortSignal) {
    this.label = label;
    this.#find = find;
    this.#signal = signal;
  }

  async readDocument(descriptor: Descriptor, role: DocumentRole): Promise<string> {
    const subject = `${role} ${descriptor.digest}`;
    // The stated size first: a liar is caught before a byte is read.
    checkDocumentSize(descriptor.size, subject);
    const location = await this.#locate(descriptor, role);
    const bytes = await readLocation(location, subject);
    const found = `${digestAlgorithm(descriptor.digest)}:${createHash(digestAlgorithm(descriptor.digest)).update(bytes).digest('hex')}`;
    if (found !== descriptor.digest) {
      throw new ProvisionerError('ERR_DIGEST_MISMATCH', `${subject} of ${this.label} has the digest ${found}`, {
        hint: 'the source is damaged; make or copy it again',
        details: { expected: descriptor.digest, found, path: location.path },
      });
    }
    const text = decodeText(bytes, subject);
    // Hashing and parsing the largest documents in one go would hold the event loop for longer than we promise.
    if (bytes.length > TURN_BYTES) await setImmediate();
    return text;
  }

  locateLayer(descriptor: Descriptor): Promise<FileLocation> {
    return this.#locate(descriptor, 'the layer');
  }

  async #locate(descriptor: Descriptor, role: string): Promise<FileLocation> {
    throwIfAborted(this.#signal);
    const location = await this.#find(descriptor.digest);
    if (location.size !== descriptor.size) {
      const sizes = `has ${location.size} bytes; its descriptor says ${descriptor.size}`;
      throw new ProvisionerError('ERR_SIZE_MISMATCH', `${role} ${descriptor.digest} of ${this.label} ${sizes}`, {
        hint: 'the source is damaged or was not copied whole; make or copy it again',
        details: { expected: descriptor.size, found: location.size, digest: descriptor.digest, path: location.path },
      });
    }
    return location;
  }
}

/** Exactly the bytes of a location. @throws ProvisionerError `ERR_SOURCE_MALFORMED` when the file ends before them */
export async function readLocation(location: FileLocation, subject: string): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await openForeignFile(location.path, location);
    const bytes = Buffer.alloc(location.size);
    const holey = location.sparse && new SparseReader(file, location.offset, location.sparse);
    let length = 0;
    while (length < bytes.length) {
      const bytesRead =
        (await holey?.read(bytes.subarray(length))) ??
        (await file.read(bytes, length, bytes.length - length, location.offset + length)).bytesRead;
      if (bytesRead === 0) throw truncatedSource(subject, `${length} of ${location.size} bytes are there`);
      length += bytesRead;
    }
    return bytes;
  } catch (error) {
    throw fileError(error, `read ${subject}`, location.path);
  } finally {
    await file?.close();
  }
}

/** The text of a document, which may be parsed. Strict, so that the text, written again, is the same bytes. */
export function decodeText(bytes: Uint8Array, subject: string): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw malformedSource(subject, 'it is not UTF-8', { cause: error });
  }
  checkDocumentValues(text, subject);
  return text;
}
