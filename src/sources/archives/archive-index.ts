import type { FileHandle } from 'node:fs/promises';
import { fileError, ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { openForeignFile } from '../../base/foreign-file.js';
import type { FileLocation } from '../puller.js';
import { MemberTree } from './member-tree.js';
import { type ReadAt, readTarMembers } from './tar-members.js';

/**
 * Members of one archive. Real ones have a few for each layer; the limits keep the index of a hostile archive below some
 * hundred megabytes.
 */
const MAX_MEMBERS = 100_000;
const MAX_NAME_LENGTH = 1024;
/** Pieces of data in all sparse members together. */
const MAX_SEGMENTS = 500_000;
/** Bytes read at once, so that headers of small members share a read. */
const WINDOW = 8 * 1024;

/**
 * What lies where in an uncompressed tar file. Made by reading headers alone: an archive of many gigabytes is indexed in
 * milliseconds, and its layers are later read in place.
 */
export class ArchiveIndex {
  readonly #path: string;
  readonly #members: MemberTree;

  private constructor(path: string, members: MemberTree) {
    this.#path = path;
    this.#members = members;
  }

  /**
   * @param path absolute
   * @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED`, `ERR_ABORTED`
   */
  static async read(path: string, label: string, signal?: AbortSignal): Promise<ArchiveIndex> {
    let file: FileHandle | undefined;
    try {
      file = await openForeignFile(path);
      const { size } = await file.stat();
      const members = new MemberTree(label);
      let count = 0;
      let segments = 0;
      for await (const member of readTarMembers(windowedReader(file, signal), size, label)) {
        count += 1;
        if (count > MAX_MEMBERS) throw tooMany(label, 'members', MAX_MEMBERS);
        if (member.name.length > MAX_NAME_LENGTH) throw tooMany(label, 'characters in one name', MAX_NAME_LENGTH);
        segments += member.sparse?.segments.length ?? 0;
        if (segments > MAX_SEGMENTS) throw tooMany(label, 'pieces of sparse members', MAX_SEGMENTS);
        members.add(member);
      }
      return new ArchiveIndex(path, members);
    } catch (error) {
      throw fileError(error, 'read the archive', path);
    } finally {
      await file?.close();
    }
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  /** The bytes of a member. @returns undefined when there is no such member @throws as `MemberTree.find` */
  find(name: string): FileLocation | undefined {
    const member = this.#members.find(name);
    if (member === undefined) return undefined;
    const { offset, sparse, size } = member;
    const place = { kind: 'file', path: this.#path, offset } as const;
    return sparse === undefined ? { ...place, size } : { ...place, size: sparse.size, sparse };
  }
}

function windowedReader(file: FileHandle, signal: AbortSignal | undefined): ReadAt {
  let start = 0;
  let window: Buffer = Buffer.alloc(0);
  return async (position, length) => {
    if (position < start || position + length > start + window.length) {
      throwIfAborted(signal);
      window = await readFully(file, position, Math.max(length, WINDOW));
      start = position;
    }
    return window.subarray(position - start, position - start + length);
  };
}

/** Fewer bytes only at the end of the file. */
async function readFully(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function tooMany(label: string, what: string, limit: number): ProvisionerError {
  return new ProvisionerError('ERR_LIMIT_EXCEEDED', `${label} has more than ${limit} ${what}`, { details: { limit } });
}
