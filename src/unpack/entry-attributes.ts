import { systemCode } from '../base/errors.js';
import { malformed } from '../base/malformed.js';
import { umask } from '../base/own-files.js';
import { isOwnerOutOfReach } from '../files/tree/copying/copy-attributes.js';
import { isOverlayXattr, type OverlayFormat, opaqueXattr } from '../files/tree/whiteouts.js';
import { type BytePath, printablePath } from '../system/syscalls/byte-path.js';
import type { FileTree } from '../system/syscalls/syscalls.js';
import { isInUserNamespace } from '../system/syscalls/user-namespace.js';
import type { TarEntry } from '../system/tar/tar-entry.js';
import { parentOf } from './entry-path.js';
import { attributeTooLarge } from './explain-failure.js';
import type { DirectoryAttributes } from './layer-directories.js';

/** What could not be applied, or must not be. */
export interface Skipped {
  /** Entries whose owner is not the archive's. */
  owners: number;
  /** Device entries that were left out. */
  devices: number;
  /** Attributes that were left out. */
  xattrs: number;
}

const OPAQUE = Buffer.from('y');
const EPOCH = { seconds: 0, nanoseconds: 0 };
const IMPLIED_MODE = 0o755;
const SPECIAL_BITS = 0o7000;
const OWNER_MAY_WRITE = 0o200;
const SETUID_AND_SETGID = 0o6000;
/** Attributes of which only root decides, and those that the kernel keeps from everybody else. */
const NOT_FOR_US = new Set(['EPERM', 'EACCES', 'EINVAL']);
/** Too much for this file system: ext4 has all attributes of a file in one block, others have limits of their own. Beyond the kernel's own it is senseless. */
const VALUE_MAX = 65536;
const NAME_MAX = 255;
const NO_ROOM = new Set(['ENOSPC', 'E2BIG', 'ERANGE']);
/** EINVAL: the kernel sees no sense in the value. EACCES: a default ACL on what is no directory. */
const SENSELESS = new Set(['EINVAL', 'EACCES']);

export interface AttributeOptions {
  /** Try to give files their owners; else those of others stay with the user. */
  readonly privileged: boolean;
  /** Whether the file system has room left, as far as it says so itself. */
  readonly hasRoom: () => boolean;
}

/**
 * Gives entries their attributes, in the only order that works: the owner first, because chown takes setuid and capabilities away; then mode,
 * then extended attributes, then times.
 */
export class EntryAttributes {
  readonly skipped: Skipped = { owners: 0, devices: 0, xattrs: 0 };
  /** Directories in which something other than a directory has been given extended attributes. */
  readonly directoriesWithXattrs = new Set<BytePath>();
  readonly #tree: FileTree;
  readonly #privileged: boolean;
  readonly #hasRoom: () => boolean;
  /** Permission bits that the system takes from new files. */
  readonly #umask = umask();
  readonly #uid = process.geteuid?.() ?? -1;
  readonly #gid = process.getegid?.() ?? -1;

  constructor(tree: FileTree, { privileged, hasRoom }: AttributeOptions) {
    this.#tree = tree;
    this.#privileged = privileged;
    this.#hasRoom = hasRoom;
  }

  /** A regular file that is still open and was created with the permission bits of its entry. */
  applyToFile(descriptor: number, path: BytePath, entry: TarEntry): void {
    const mode = this.#own(entry, () => this.#tree.setFileOwner(descriptor, entry.uid, entry.gid));
    if (entry.xattrs !== undefined && !this.#privileged) {
      // Only who may write a file may give it attributes, unless that is root.
      this.#tree.setFileMode(descriptor, mode | OWNER_MAY_WRITE);
      this.#setEntryXattrs(path, entry.xattrs);
      this.#tree.setFileMode(descriptor, mode);
    } else {
      if ((mode & (SPECIAL_BITS | this.#umask)) !== 0) this.#tree.setFileMode(descriptor, mode);
      if (entry.xattrs !== undefined) this.#setEntryXattrs(path, entry.xattrs);
    }
    this.#tree.setFileTimes(descriptor, entry.accessed, entry.modified);
  }

  /** A symlink, device or FIFO. */
  apply(path: BytePath, entry: TarEntry): void {
    const mode = this.#own(entry, () => this.#tree.setOwner(path, entry.uid, entry.gid));
    if (entry.type !== 'symlink') this.#tree.setMode(path, mode);
    if (entry.xattrs !== undefined) this.#setEntryXattrs(path, entry.xattrs);
    this.#tree.setTimes(path, entry.accessed, entry.modified);
  }

  /**
   * A directory, when nothing will happen in it any more.
   * @param attributes undefined for one that is only implied: it gets what every such directory gets, whoever unpacks it and whenever
   * @param opaque mark it in this format
   */
  applyToDirectory(
    path: BytePath,
    attributes: DirectoryAttributes | undefined,
    opaque: OverlayFormat | undefined,
  ): void {
    if (opaque !== undefined) this.#tree.setXattr(path, opaqueXattr(opaque), OPAQUE);
    if (attributes === undefined) {
      if (this.#privileged && (this.#uid !== 0 || this.#gid !== 0)) this.#chown(() => this.#tree.setOwner(path, 0, 0));
      this.#tree.setMode(path, IMPLIED_MODE);
      this.#tree.setTimes(path, EPOCH, EPOCH);
      return;
    }
    const mode = this.#own(attributes, () => this.#tree.setOwner(path, attributes.uid, attributes.gid));
    if (attributes.xattrs !== undefined) this.#setXattrs(path, attributes.xattrs);
    // An access ACL changes the mode, so the mode has the last word about its own bits.
    this.#tree.setMode(path, mode);
    this.#tree.setTimes(path, attributes.accessed, attributes.modified);
  }

  /**
   * Gives something its owner, where that can be had.
   * @returns its mode: what runs with the rights of its owner must not run with those of another one, which it is left with
   */
  #own({ uid, gid, mode }: DirectoryAttributes, change: () => void): number {
    if (uid === this.#uid && gid === this.#gid) return mode;
    if (this.#privileged && this.#chown(change)) return mode;
    this.skipped.owners++;
    return mode & ~SETUID_AND_SETGID;
  }

  #chown(change: () => void): boolean {
    try {
      change();
      return true;
    } catch (error) {
      if (!isOwnerOutOfReach(error)) throw error;
      return false;
    }
  }

  /** Of what is no directory. */
  #setEntryXattrs(path: BytePath, xattrs: ReadonlyMap<string, Buffer>): void {
    this.directoriesWithXattrs.add(parentOf(path));
    this.#setXattrs(path, xattrs);
  }

  #setXattrs(path: BytePath, xattrs: ReadonlyMap<string, Buffer>): void {
    for (const [name, value] of xattrs) {
      if (isOverlayXattr(name)) {
        // An image must not speak to overlay: it could make directories of other layers appear in its own.
        this.skipped.xattrs++;
        continue;
      }
      try {
        this.#tree.setXattr(path, name, value);
      } catch (error) {
        if (!this.#cannotBeHad(systemCode(error))) throw this.#explain(error, path, name, value);
        this.skipped.xattrs++;
      }
    }
  }

  #cannotBeHad(code: string | undefined): boolean {
    // This file system keeps no such attributes.
    if (code === 'ENOTSUP') return true;
    // user.* on a symlink or device, which nobody may have; what a capability is needed for that this root has not.
    if (code === 'EPERM') return true;
    return NOT_FOR_US.has(code ?? '') && (!this.#privileged || isInUserNamespace());
  }

  #explain(error: unknown, path: BytePath, name: string, value: Buffer): unknown {
    const code = systemCode(error) ?? '';
    const what = `the extended attribute ${printablePath(name)} of ${path === '' ? 'its root' : printablePath(path)}`;
    const isBeyondKernel = value.length > VALUE_MAX || name.length > NAME_MAX;
    if (SENSELESS.has(code) || (NO_ROOM.has(code) && isBeyondKernel))
      return malformed(`${what} has a value that it cannot have`, error);
    // ENOSPC says of a full disk, too, that something does not fit.
    return NO_ROOM.has(code) && this.#hasRoom() ? attributeTooLarge(what, value.length, error) : error;
  }
}
