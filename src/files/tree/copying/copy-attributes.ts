import { systemCode } from '../../../base/errors.js';
import { umask } from '../../../base/own-files.js';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
import type { FileTime } from '../../../system/syscalls/syscalls.js';
import type { OpenDirectory, TreeCalls, Xattrs } from '../../../system/syscalls/tree-calls.js';
import { isOverlayXattr } from '../whiteouts.js';

/** What a copy had to leave out; all but sockets are 0 for root with native calls. */
export interface Skipped {
  /** Entries that belong to the user instead of to their owner. */
  owners: number;
  /** Plain Node cannot make FIFOs either; then those are counted here too. */
  devices: number;
  xattrs: number;
  /** Never copied: they mean nothing without their process. */
  sockets: number;
}

/** The part of a file's status that a copy takes on. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly accessed: FileTime;
  readonly modified: FileTime;
}

export type XattrValues = readonly (readonly [name: string, value: Uint8Array])[];

const ONLY_FOR_ROOT = /^(trusted|security)\./;
const NOT_FOR_US: ReadonlySet<string> = new Set(['EPERM', 'EACCES', 'ENOTSUP']);
/** EINVAL: an owner that this user namespace does not know. EPERM: not with these capabilities, or not on this file system. EOVERFLOW: not on a mount that maps ids. */
const OWNER_OUT_OF_REACH: ReadonlySet<string> = new Set(['EINVAL', 'EPERM', 'EOVERFLOW']);
const SETUID_AND_SETGID = 0o6000;
const OWNER_MAY_WRITE = 0o200;

/** Whether root was refused the change of an owner for what this process or this file system is like, and not for the file. @see chown(2) */
export function isOwnerOutOfReach(error: unknown): boolean {
  return OWNER_OUT_OF_REACH.has(systemCode(error) ?? '');
}

const NO_VALUES: XattrValues = [];
/** Names a mount, and not what it shows: two that have it in common would be taken for one another. @see https://docs.kernel.org/filesystems/overlayfs.html, "UUID and fsid" */
const OF_ONE_MOUNT = /^(trusted|user)\.overlay\.uuid$/;

/** Reads what a copy takes on of extended attributes. */
export type ReadXattrs = (xattrs: Xattrs) => XattrValues;

/** All but overlay's own, which describe the layers and not the tree. */
export const readXattrs: ReadXattrs = (xattrs) => readXattrsBut(xattrs, isOverlayXattr);

/** Overlay's own too: of a layer that is copied as it is. */
export const readAllXattrs: ReadXattrs = (xattrs) => readXattrsBut(xattrs, (name) => OF_ONE_MOUNT.test(name));

function readXattrsBut(xattrs: Xattrs, isLeftOut: (name: string) => boolean): XattrValues {
  const names = xattrs.list();
  if (names.length === 0) return NO_VALUES;
  return names.flatMap((name) => {
    const value = isLeftOut(name) ? undefined : xattrs.get(name);
    return value === undefined ? [] : [[name, value] as const];
  });
}

/**
 * Gives copies the attributes of what they were copied from: owner, because changing it clears setuid and capabilities; then xattrs, because
 * setting an ACL may clear setgid; then mode; then times. What a new file has already is not set again: that saves two calls of ten for most files.
 */
export class AttributeCopier {
  readonly #calls: TreeCalls;
  readonly #privileged: boolean;
  readonly #skipped: Skipped;
  readonly readXattrs: ReadXattrs;
  /** Asked for when the first file is copied. */
  #umask: number | undefined;
  /** Of files made below the target; undefined when some rule of its file system or directory decides. */
  readonly #newUid: number | undefined;
  readonly #newGid: number | undefined;

  constructor(
    calls: TreeCalls,
    target: OpenDirectory,
    privileged: boolean,
    skipped: Skipped,
    read: ReadXattrs = readXattrs,
  ) {
    this.readXattrs = read;
    this.#calls = calls;
    this.#privileged = privileged;
    this.#skipped = skipped;
    const { uid, gid, mode } = target.status('');
    this.#newUid = process.geteuid?.() === uid ? uid : undefined;
    this.#newGid = process.getegid?.() === gid && (mode & 0o2000) === 0 ? gid : undefined;
    // What the target's parent passes on is not the image's, and would reach every file.
    const inherited = target.xattrs('');
    inherited.remove('system.posix_acl_default');
    inherited.remove('system.posix_acl_access');
  }

  /** The mode to make a file with: its own where that can be had at once. */
  creationMode({ mode }: Attributes): number {
    this.#umask ??= umask();
    return mode & 0o777 & ~this.#umask;
  }

  copyToFile(from: number, to: number, attributes: Attributes): void {
    const made = this.creationMode(attributes);
    const owned = this.#own(attributes, () => this.#calls.setFileOwner(to, attributes.uid, attributes.gid));
    const xattrs = this.readXattrs(this.#calls.fileXattrs(from));
    if (xattrs.length > 0) {
      // An ordinary owner may set xattrs of a file only while he may write it.
      if (!this.#privileged) this.#calls.setFileMode(to, made | OWNER_MAY_WRITE);
      this.#setXattrs(this.#calls.fileXattrs(to), xattrs);
    }
    const mode = modeOf(attributes, owned);
    if (mode !== made || owned === 'changed' || xattrs.length > 0) this.#calls.setFileMode(to, mode);
    this.#calls.setFileTimes(to, attributes.accessed, attributes.modified);
  }

  /** For all but regular files. @param options.hasMode false for a symlink */
  copyToEntry(
    to: OpenDirectory,
    name: BytePath,
    attributes: Attributes,
    { hasMode, xattrs }: { readonly hasMode: boolean; readonly xattrs: XattrValues },
  ): void {
    const owned = this.#own(attributes, () => to.setOwner(name, attributes.uid, attributes.gid));
    if (xattrs.length > 0) this.#setXattrs(to.xattrs(name), xattrs);
    if (hasMode) to.setMode(name, modeOf(attributes, owned));
    to.setTimes(name, attributes.accessed, attributes.modified);
  }

  #own({ uid, gid }: Attributes, change: () => void): Owned {
    if (uid === this.#newUid && gid === this.#newGid) return 'from the start';
    try {
      if (this.#privileged) {
        change();
        return 'changed';
      }
    } catch (error) {
      if (!isOwnerOutOfReach(error)) throw error;
    }
    this.#skipped.owners++;
    return 'no';
  }

  #setXattrs(to: Xattrs, xattrs: XattrValues): void {
    for (const [name, value] of xattrs) {
      if (!this.#privileged && ONLY_FOR_ROOT.test(name)) {
        this.#skipped.xattrs++;
        continue;
      }
      try {
        to.set(name, value);
      } catch (error) {
        if (!NOT_FOR_US.has(systemCode(error) ?? '')) throw error;
        this.#skipped.xattrs++;
      }
    }
  }
}

/** Whether a copy belongs to whom it should. */
type Owned = 'from the start' | 'changed' | 'no';

/** A program that was somebody else's must not become setuid to the user. */
function modeOf({ mode }: Attributes, owned: Owned): number {
  return owned === 'no' ? mode & ~SETUID_AND_SETGID : mode;
}
