import { readSync } from 'node:fs';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import {
  DIRECTORY,
  type FileStatus,
  type OpenDirectory,
  REGULAR_FILE,
  SYMLINK,
  type TreeCalls,
  type Xattrs,
} from '../../system/syscalls/tree-calls.js';
import { isDevice, isRecordedXattr, type TreeEntry, type Xattr } from './contents.js';
import { FileChecksum } from './file-checksum.js';
import { InodeNumbers } from './inode-numbers.js';

const NO_XATTRS: readonly Xattr[] = [];
const NO_DEVICE = { major: 0, minor: 0 };

/** What a status and the rest make of an entry. @param checksum, group see `TreeEntry` */
export function treeEntry(
  directory: OpenDirectory,
  name: BytePath,
  status: FileStatus,
  checksum: number,
  group: number,
  xattrs: readonly Xattr[],
): TreeEntry {
  const { type, mode, uid, gid, modified } = status;
  return {
    name,
    type,
    mode: type === SYMLINK ? 0 : mode,
    uid,
    gid,
    modified,
    size: type === REGULAR_FILE ? status.size : 0,
    checksum,
    target: type === SYMLINK ? directory.readSymlink(name) : '',
    device: isDevice(type) ? status.device : NO_DEVICE,
    group,
    xattrs,
  };
}

/** Those that the record keeps, sorted. */
export function recordedXattrs(xattrs: Xattrs): readonly Xattr[] {
  const names = xattrs.list();
  if (names.length === 0) return NO_XATTRS;
  return names
    .filter(isRecordedXattr)
    .sort()
    .flatMap((name) => {
      const value = xattrs.get(name);
      return value === undefined ? [] : [[name, value] as const];
    });
}

/** Numbers the files with several names, in the order in which they are met. */
export class LinkGroups {
  readonly #groups = new InodeNumbers();
  #count = 0;

  /** @returns 0 for a directory, and for a file with one name */
  of(status: FileStatus): number {
    if (status.links < 2 || status.type === DIRECTORY) return 0;
    let group = this.#groups.get(status);
    if (group === undefined) {
      group = ++this.#count;
      this.#groups.set(status, group);
    }
    return group;
  }
}

const PIECE = 256 * 1024;
let piece: Buffer | undefined;

/**
 * The checksum of an open file's content; holes are not read where the system tells of them. The bytes come by way of the page cache, as they do for a
 * container: what has changed on the disk beneath shows when the cache has let go of it.
 * @param pause called between pieces; may throw
 */
export function checksumOfFile(calls: TreeCalls, descriptor: number, size: number, pause: () => void): number {
  piece ??= Buffer.allocUnsafeSlow(PIECE);
  const checksum = new FileChecksum();
  for (let position = 0; position < size; ) {
    const data = calls.nextData(descriptor, position, size);
    if (data === undefined) break;
    for (position = data.start; position < data.end; ) {
      pause();
      const count = readSync(descriptor, piece, 0, Math.min(PIECE, data.end - position), position);
      // Shorter than its status said: what is missing counts as zeros, and the size tells.
      if (count === 0) return checksum.value(size);
      checksum.update(piece.subarray(0, count), position);
      position += count;
    }
  }
  return checksum.value(size);
}
