import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { fileError, ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { openForeignFile } from '../../base/foreign-file.js';
import type { FileLocation } from '../puller.js';
import { malformedSource } from '../source-errors.js';
import { type ReadAt, readTarMembers, type TarMember } from './tar-members.js';

/**
 * Members of one archive. Real ones have a few for each layer; the limits keep the index of a hostile archive below some
 * hundred megabytes.
 */
const MAX_MEMBERS = 100_000;
const MAX_NAME_LENGTH = 1024;
/** Links that lead to links. `docker save` used one step, for a layer that two images share. */
const MAX_LINKS = 16;
/** Bytes read at once, so that headers of small members share a read. */
const WINDOW = 8 * 1024;

/**
 * What lies where in an uncompressed tar file. Made by reading headers alone: an archive of many gigabytes is indexed in
 * milliseconds, and its layers are later read in place.
 */
export class ArchiveIndex {
  readonly #path: string;
  readonly #label: string;
  readonly #members: ReadonlyMap<string, TarMember>;

  private constructor(path: string, label: string, members: ReadonlyMap<string, TarMember>) {
    this.#path = path;
    this.#label = label;
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
      const members = new Map<string, TarMember>();
      let count = 0;
      for await (const member of readTarMembers(windowedReader(file, signal), size, label)) {
        count += 1;
        if (count > MAX_MEMBERS) throw tooMany(label, 'members', MAX_MEMBERS);
        if (member.name.length > MAX_NAME_LENGTH) throw tooMany(label, 'characters in one name', MAX_NAME_LENGTH);
        // As with tar itself, what is appended later replaces what came before.
        members.set(normaliseName(member.name, label), member);
      }
      return new ArchiveIndex(path, label, members);
    } catch (error) {
      throw fileError(error, 'read the archive', path);
    } finally {
      await file?.close();
    }
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  /**
   * The bytes of a member, links followed.
   * @param name as another member writes it; normalised here
   * @returns undefined when there is no such member
   * @throws ProvisionerError `ERR_SOURCE_MALFORMED` for a name or link that leads out of the archive or round in circles, or
   * for a member that is no file; `ERR_SOURCE_UNSUPPORTED` for a sparse one
   */
  find(name: string): FileLocation | undefined {
    let current = normaliseName(name, this.#label);
    for (let step = 0; step <= MAX_LINKS; step += 1) {
      const member = this.#members.get(current);
      if (member === undefined) return undefined;
      switch (member.kind) {
        case 'file':
          return { kind: 'file', path: this.#path, offset: member.offset, size: member.size };
        case 'sparse':
          throw new ProvisionerError(
            'ERR_SOURCE_UNSUPPORTED',
            `${this.#label} holds ${JSON.stringify(current.slice(0, 200))} as a sparse file`,
            {
              hint: 'make the archive again without --sparse',
            },
          );
        case 'hardlink':
          current = normaliseName(member.target, this.#label);
          break;
        case 'symlink':
          if (posix.isAbsolute(member.target)) throw leadsOut(member.target, this.#label);
          current = normaliseName(posix.join(posix.dirname(current), member.target), this.#label);
          break;
        default:
          throw malformedSource(this.#label, `${JSON.stringify(current)} is not a file`);
      }
    }
    throw malformedSource(this.#label, `${JSON.stringify(name)} leads round in circles`);
  }
}

/** `./a//b` and `/a/b` are `a/b`. */
function normaliseName(name: string, label: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw leadsOut(name, label);
  return parts.join('/');
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

function leadsOut(name: string, label: string): ProvisionerError {
  return malformedSource(label, `${JSON.stringify(name.slice(0, 200))} leads out of it`);
}

function tooMany(label: string, what: string, limit: number): ProvisionerError {
  return new ProvisionerError('ERR_LIMIT_EXCEEDED', `${label} has more than ${limit} ${what}`, { details: { limit } });
}
