import { systemCode } from '../../../base/errors.js';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
import { syscallError } from '../../../system/syscalls/syscalls.js';
import {
  BLOCK_DEVICE,
  CHARACTER_DEVICE,
  FIFO,
  type FileStatus,
  type FileType,
  type OpenDirectory,
  REGULAR_FILE,
  SOCKET,
  SYMLINK,
  type TreeCalls,
} from '../../../system/syscalls/tree-calls.js';
import { AttributeCopier, readAllXattrs, readXattrs, type Skipped } from './copy-attributes.js';

const OWNER_MAY_READ = 0o400;

/** Where an entry is copied from and to. */
export interface CopiedEntry {
  readonly name: BytePath;
  readonly type: FileType;
  readonly from: OpenDirectory;
  readonly to: OpenDirectory;
  /** Of the directory, relative to the target. */
  readonly path: BytePath;
  readonly layer: number;
  /** What the copy is called. Default: as what it is copied from. */
  readonly as?: BytePath;
}

export interface EntryCopierOptions {
  readonly privileged: boolean;
  /** With overlay's own attributes. */
  readonly asIs: boolean;
  /** See `CopyLayersOptions`. */
  readonly changing: boolean;
  /** Called between pieces of a long copy; may throw. */
  readonly pause: () => void;
}

/** Copies everything but directories into a target. */
export class EntryCopier {
  readonly attributes: AttributeCopier;
  readonly skipped: Skipped = { owners: 0, devices: 0, xattrs: 0, sockets: 0 };
  entries = 0;
  bytes = 0;
  readonly #calls: TreeCalls;
  readonly #target: OpenDirectory;
  readonly #privileged: boolean;
  readonly #changing: boolean;
  readonly #pause: () => void;
  /** Where in the target the files are that have more names, by layer and inode. */
  readonly #linked = new Map<string, { path: BytePath; name: BytePath }>();

  constructor(calls: TreeCalls, target: OpenDirectory, { privileged, asIs, changing, pause }: EntryCopierOptions) {
    this.#calls = calls;
    this.#target = target;
    this.#privileged = privileged;
    this.#changing = changing;
    this.#pause = pause;
    const read = asIs ? readAllXattrs : readXattrs;
    this.attributes = new AttributeCopier(calls, target, privileged, this.skipped, read);
  }

  /** @throws `ENOENT`, with nothing made, when it is not there any more, or is of another type by now */
  copy(entry: CopiedEntry): void {
    if (entry.type === REGULAR_FILE) this.#copyFile(entry);
    else this.#copySpecial(entry);
  }

  #copyFile(entry: CopiedEntry): void {
    const source = this.#openSource(entry);
    try {
      const status = this.#calls.fileStatus(source);
      if (this.#madeAsLink(entry, status)) return;
      const target = entry.to.createFile(entry.as ?? entry.name, this.attributes.creationMode(status));
      try {
        this.#calls.copyContent(source, target, status, this.#pause);
        this.attributes.copyToFile(source, target, status);
      } finally {
        this.#calls.closeFile(target);
      }
      this.#remember(entry, status);
      this.entries++;
      this.bytes += status.size;
    } finally {
      this.#calls.closeFile(source);
    }
  }

  /** An ordinary user may have files that he cannot read; he can change that, and changes it back at once. */
  #openSource({ from, name }: CopiedEntry): number {
    if (this.#changing) return openAsListed(from, name);
    try {
      return from.openFile(name);
    } catch (error) {
      if (this.#privileged || systemCode(error) !== 'EACCES') throw error;
      const { mode, uid } = from.status(name);
      if (uid !== process.geteuid?.()) throw error;
      from.setMode(name, mode | OWNER_MAY_READ);
      try {
        return from.openFile(name);
      } finally {
        from.setMode(name, mode);
      }
    }
  }

  #copySpecial(entry: CopiedEntry): void {
    const { name, type, from, to, as = name } = entry;
    if (type === SOCKET) {
      this.skipped.sockets++;
      return;
    }
    const isDevice = type === CHARACTER_DEVICE || type === BLOCK_DEVICE;
    const isNode = isDevice || type === FIFO;
    if ((isDevice && !this.#privileged) || (isNode && this.#calls.kind === 'native-free')) {
      this.skipped.devices++;
      return;
    }
    const status = from.status(name);
    if (status.type !== type) throw syscallError('ENOENT', 'lstat', name);
    if (this.#madeAsLink(entry, status)) return;
    // Only trusted and security attributes can be on any of these. All is read before anything is made: by then it may have gone.
    const xattrs = this.#privileged ? this.attributes.readXattrs(from.xattrs(name)) : [];
    if (type === SYMLINK) to.makeSymlink(from.readSymlink(name), as);
    else if (isNode) {
      if (!this.#madeNode(to, as, type, status)) return;
    } else throw new Error(`a file of unknown type ${type.toString(8)}`);
    this.#remember(entry, status);
    this.attributes.copyToEntry(to, as, status, { hasMode: type !== SYMLINK, xattrs });
    this.entries++;
  }

  /** @returns false where this root may make no devices: of a user namespace, or without CAP_MKNOD. @see mknod(2) */
  #madeNode(to: OpenDirectory, name: BytePath, type: FileType, { device }: FileStatus): boolean {
    try {
      to.makeNode(name, type | 0o600, device);
      return true;
    } catch (error) {
      if (systemCode(error) !== 'EPERM') throw error;
      this.skipped.devices++;
      return false;
    }
  }

  /** @returns true when the file has been copied under another name, which it now shares */
  #madeAsLink({ name: original, to, path, layer, as: name = original }: CopiedEntry, status: FileStatus): boolean {
    if (status.links === 1) return false;
    const existing = this.#linked.get(`${layer}:${status.identity}`);
    if (existing === undefined) return false;
    const existingIn = existing.path === path ? to : this.#target.openDirectory(existing.path);
    try {
      to.makeHardLink(existingIn, existing.name, name);
    } finally {
      if (existingIn !== to) existingIn.close();
    }
    this.entries++;
    return true;
  }

  /** Of a file that has been made: under which name, for those of its names that are still to come. */
  #remember({ name: original, path, layer, as: name = original }: CopiedEntry, { links, identity }: FileStatus): void {
    if (links > 1) this.#linked.set(`${layer}:${identity}`, { path, name });
  }
}

/** Opens what was a regular file when it was listed. @throws `ENOENT` when it is none any more */
function openAsListed(from: OpenDirectory, name: BytePath): number {
  try {
    return from.openRegularFile(name);
  } catch (error) {
    if (systemCode(error) === 'EINVAL') throw syscallError('ENOENT', 'open', name);
    throw error;
  }
}
