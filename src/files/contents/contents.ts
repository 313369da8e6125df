import type { BytePath } from '../../system/syscalls/byte-path.js';
import type { DeviceNumber, FileTime } from '../../system/syscalls/syscalls.js';
import { BLOCK_DEVICE, CHARACTER_DEVICE, type FileType } from '../../system/syscalls/tree-calls.js';

/** All that is kept of one entry of a tree. What no image decides is left out: access and change times, inode numbers, a directory's size. */
export interface TreeEntry {
  /** One component; of the tree's root whatever its directory is called. */
  readonly name: BytePath;
  readonly type: FileType;
  /** 12 bits; 0 for a symlink, which has none of its own. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: FileTime;
  /** Bytes of a regular file, holes included; else 0. */
  readonly size: number;
  /** `FileChecksum` of a regular file's content; else 0. */
  readonly checksum: number;
  /** Of a symlink; else empty. */
  readonly target: BytePath;
  /** Of a device; else 0:0. */
  readonly device: DeviceNumber;
  /** The same number, from 1, for all names of one file that has several in this tree or outside; 0 for a file with one name, and for directories. */
  readonly group: number;
  /** Sorted by name. Overlay's own marks are among them: they are part of what the layer says. */
  readonly xattrs: readonly Xattr[];
}

export type Xattr = readonly [name: string, value: Uint8Array];

/** Goes through a tree: a directory is entered, then come its entries, each subdirectory with all that is in it, then it is left. The root is entered first. */
export interface TreeVisitor {
  enter(directory: TreeEntry): void;
  entry(entry: TreeEntry): void;
  leave(): void;
}

/** What a tree has in all. */
export interface TreeTotals {
  /** Names, the root among them. */
  readonly entries: number;
  /** Sizes of regular files, once for each name. */
  readonly size: number;
}

/** Counts what goes by. */
export class Totals implements TreeTotals {
  entries = 0;
  size = 0;

  add(entry: TreeEntry): void {
    this.entries++;
    this.size += entry.size;
  }
}

export function isDevice(type: FileType): boolean {
  return type === CHARACTER_DEVICE || type === BLOCK_DEVICE;
}

/** Labels that the machine's own security policy puts on files, whatever their image says. */
const MACHINE_LABEL = /^security\.(?:selinux|SMACK64|ima$|evm$)/;
const OF_IMAGES = /^(?:user|trusted|security)\.|^system\.posix_acl_(?:access|default)$/;

/** Attributes that an image decides: other namespaces are views that a file system gives of itself. */
export function isRecordedXattr(name: string): boolean {
  return OF_IMAGES.test(name) && !MACHINE_LABEL.test(name);
}
