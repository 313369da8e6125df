import { systemCode } from '../errors.js';
import { type BytePath, printablePath } from '../syscalls/byte-path.js';
import type { FileTree } from '../syscalls/syscalls.js';
import { isOverlayXattr, opaqueXattr, type WhiteoutFormat } from '../tree/whiteouts.js';
import { parentOf } from './entry-path.js';
import type { DirectoryAttributes } from './layer-directories.js';
import { malformed } from './malformed.js';
import type { TarEntry } from './tar-entry.js';

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
/** EINVAL: an owner that this user namespace does not know. EPERM: not permitted there. */
const OWNER_BEYOND_NAMESPACE = new Set(['EINVAL', 'EPERM']);
/** Attributes of which only root decides, and those that the kernel keeps from everybody else. */
const NOT_FOR_US = new Set(['EPERM', 'EACCES', 'EINVAL']);
/** EINVAL: the kernel sees no sense in the value. EACCES: a default ACL on what is no directory. E2BIG, ERANGE: too long. */
const SENSELESS = new Set(['EINVAL', 'EACCES', 'E2BIG', 'ERANGE']);

export interface AttributeOptions {
  readonly privileged: boolean;
  readonly format: WhiteoutFormat;
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
  /** Root, but of a user namespace, where some owners and attributes do not exist. */
  readonly #namespaced: boolean;
  /** Permission bits that the system takes from new files. */
  readonly #umask = process.umask();
  readonly #uid = process.geteuid?.() ?? -1;
  readonly #gid = process.getegid?.() ?? -1;

  constructor(tree: FileTree, { privileged, format }: AttributeOptions) {
    this.#tree = tree;
    this.#privileged = privileged;
    this.#namespaced = format === 'user';
  }

  /** A regular file that is still open and was created with the permission bits of its entry. */
  applyToFile(descriptor: number, path: BytePath, entry: TarEntry): void {
    if (this.#mustChown(entry)) this.#chown(() => this.#tree.setFileOwner(descriptor, entry.uid, entry.gid));
    if (entry.xattrs !== undefined && !this.#privileged) {
      // Only who may write a file may give it attributes, unless that is root.
      this.#tree.setFileMode(descriptor, entry.mode | OWNER_MAY_WRITE);
      this.#setEntryXattrs(path, entry.xattrs);
      this.#tree.setFileMode(descriptor, entry.mode);
    } else {
      if ((entry.mode & (SPECIAL_BITS | this.#umask)) !== 0) this.#tree.setFileMode(descriptor, entry.mode);
      if (entry.xattrs !== undefined) this.#setEntryXattrs(path, entry.xattrs);
    }
    this.#tree.setFileTimes(descriptor, entry.accessed, entry.modified);
  }

  /** A symlink, device or FIFO. */
  apply(path: BytePath, entry: TarEntry): void {
    if (this.#mustChown(entry)) this.#chown(() => this.#tree.setOwner(path, entry.uid, entry.gid));
    if (entry.type !== 'symlink') this.#tree.setMode(path, entry.mode);
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
    opaque: 'trusted' | 'user' | undefined,
  ): void {
    if (opaque !== undefined) this.#tree.setXattr(path, opaqueXattr(opaque), OPAQUE);
    if (attributes === undefined) {
      if (this.#privileged && (this.#uid !== 0 || this.#gid !== 0)) this.#tree.setOwner(path, 0, 0);
      this.#tree.setMode(path, IMPLIED_MODE);
      this.#tree.setTimes(path, EPOCH, EPOCH);
      return;
    }
    if (this.#mustChown(attributes)) this.#chown(() => this.#tree.setOwner(path, attributes.uid, attributes.gid));
    if (attributes.xattrs !== undefined) this.#setXattrs(path, attributes.xattrs);
    // An access ACL changes the mode, so the mode has the last word about its own bits.
    this.#tree.setMode(path, attributes.mode);
    this.#tree.setTimes(path, attributes.accessed, attributes.modified);
  }

  #mustChown({ uid, gid }: DirectoryAttributes): boolean {
    if (uid === this.#uid && gid === this.#gid) return false;
    if (this.#privileged) return true;
    this.skipped.owners++;
    return false;
  }

  #chown(change: () => void): void {
    try {
      change();
    } catch (error) {
      if (!this.#namespaced || !OWNER_BEYOND_NAMESPACE.has(systemCode(error) ?? '')) throw error;
      this.skipped.owners++;
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
        if (!this.#cannotBeHad(name, systemCode(error))) throw this.#explain(error, name);
        this.skipped.xattrs++;
      }
    }
  }

  #cannotBeHad(name: string, code: string | undefined): boolean {
    // This file system keeps no such attributes.
    if (code === 'ENOTSUP') return true;
    // user.* on a symlink or device, which nobody may have.
    if (code === 'EPERM' && name.startsWith('user.')) return true;
    return (!this.#privileged || this.#namespaced) && NOT_FOR_US.has(code ?? '');
  }

  #explain(error: unknown, name: string): unknown {
    if (!SENSELESS.has(systemCode(error) ?? '')) return error;
    return malformed(`the extended attribute ${printablePath(name)} has a value that it cannot have`, error);
  }
}
