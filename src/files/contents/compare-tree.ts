import { systemCode } from '../../base/errors.js';
import { type BytePath, printablePath } from '../../system/syscalls/byte-path.js';
import type { FileTime } from '../../system/syscalls/syscalls.js';
import {
  BLOCK_DEVICE,
  CHARACTER_DEVICE,
  DIRECTORY,
  FIFO,
  type FileStatus,
  type FileType,
  type OpenDirectory,
  REGULAR_FILE,
  SOCKET,
  SYMLINK,
  type TreeCalls,
  type Xattrs,
} from '../../system/syscalls/tree-calls.js';
import { type Inode, InodeSet } from '../tree/inode-set.js';
import { NameSet } from '../tree/name-set.js';
import { isLocked, OWNER_MAY_ALL } from '../tree/removal/locked-directories.js';
import { isDevice, type TreeEntry, type TreeVisitor, type Xattr } from './contents.js';
import type { ContentsReader } from './contents-file.js';
import type { Differences, LayerAspect } from './differences.js';
import { InodeNumbers } from './inode-numbers.js';
import { OwnedDescent } from './owned-descent.js';
import { checksumOfFile, recordedXattrs } from './read-entry.js';

/**
 * Compares a tree with its record, entry by entry, and notes what differs.
 * @returns disk use in bytes, as `du` counts it, of what the record knows
 */
export function compareTree(
  parent: string,
  record: ContentsReader,
  calls: TreeCalls,
  differences: Differences,
  pause: () => void,
): number {
  const comparison = new Comparison(new OwnedDescent(calls, parent), calls, differences, pause);
  try {
    record.read(comparison, pause);
    return comparison.disk;
  } finally {
    comparison.close();
  }
}

class Comparison implements TreeVisitor {
  readonly #descent: OwnedDescent;
  readonly #calls: TreeCalls;
  readonly #differences: Differences;
  readonly #pause: () => void;
  /** For each directory on the way the names that the record has spoken of. */
  readonly #recorded: NameSet[] = [];
  /** Of all that has been looked at. */
  disk = 0;
  /** Levels below a directory that cannot be looked into. */
  #skipped = 0;
  /** The file of each group, and the group of each file that has several names. */
  readonly #files: (Inode | undefined)[] = [];
  readonly #groups = new InodeNumbers();
  readonly #counted = new InodeSet();

  constructor(descent: OwnedDescent, calls: TreeCalls, differences: Differences, pause: () => void) {
    this.#descent = descent;
    this.#calls = calls;
    this.#differences = differences;
    this.#pause = pause;
  }

  enter(entry: TreeEntry): void {
    if (this.#skipped > 0 || !this.#enter(entry)) this.#skipped++;
  }

  entry(entry: TreeEntry): void {
    if (this.#skipped > 0) return;
    this.#pause();
    this.#guarded(entry.name, () => {
      const status = this.#statusOf(entry);
      if (status === undefined) return;
      this.#attributes(entry, status);
      this.#links(entry, status);
      this.#xattrs(entry, this.#descent.directory.xattrs(entry.name));
      if (entry.type === REGULAR_FILE) this.#content(entry, status);
      else if (entry.type === SYMLINK) this.#target(entry, this.#descent.directory);
    });
  }

  leave(): void {
    if (this.#skipped > 0) {
      this.#skipped--;
      return;
    }
    this.#extras(this.#recorded.pop());
    this.#descent.leave();
  }

  close(): void {
    this.#descent.close();
  }

  /** @returns false when there is no such directory to look into */
  #enter(entry: TreeEntry): boolean {
    return (
      this.#guarded(entry.name, () => {
        const status = this.#statusOf(entry);
        if (status === undefined) return false;
        this.#attributes(entry, status);
        const directory = this.#descent.enter(entry.name, status);
        this.#recorded.push(new NameSet());
        // From here on the path is that of the directory itself.
        this.#xattrs({ ...entry, name: '' }, directory.xattrs(''));
        return true;
      }) ?? false
    );
  }

  /** Undefined when it is not there, or is something else; that has been noted. */
  #statusOf(entry: TreeEntry): FileStatus | undefined {
    this.#recorded.at(-1)?.add(entry.name);
    let status: FileStatus;
    try {
      status = this.#descent.directory.status(entry.name);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      this.#note(entry.name, 'missing', TYPE_NAMES.get(entry.type) ?? 'an entry', 'nothing');
      return undefined;
    }
    this.#count(status);
    if (status.type === entry.type) return status;
    this.#note(entry.name, 'type', typeName(entry.type), typeName(status.type));
    return undefined;
  }

  /** A file with several names has its blocks once. */
  #count(status: FileStatus): void {
    if (status.links > 1 && status.type !== DIRECTORY && this.#counted.add(status) === true) return;
    this.disk += status.disk;
  }

  #attributes(entry: TreeEntry, status: FileStatus): void {
    const { name } = entry;
    if (entry.type !== SYMLINK && entry.mode !== status.mode && !isLeftOpen(entry, status)) {
      this.#note(name, 'mode', octal(entry.mode), octal(status.mode));
    }
    if (entry.uid !== status.uid || entry.gid !== status.gid) {
      this.#note(name, 'owner', `${entry.uid}:${entry.gid}`, `${status.uid}:${status.gid}`);
    }
    const [expected, found] = [timeText(entry.modified), timeText(status.modified)];
    if (expected !== found) this.#note(name, 'modified', expected, found);
    const { major, minor } = status.device;
    if (isDevice(entry.type) && (entry.device.major !== major || entry.device.minor !== minor)) {
      this.#note(name, 'device', `${entry.device.major}:${entry.device.minor}`, `${major}:${minor}`);
    }
  }

  /** Names of one file must be names of one file still, and of no other. How many names it has outside is nobody's business here. */
  #links({ name, group }: TreeEntry, status: FileStatus): void {
    const file = this.#files[group];
    const { links, inode, inodeHigh } = status;
    if (group > 0 && file === undefined) this.#files[group] = { inode, inodeHigh };
    if (file !== undefined && (file.inode !== inode || file.inodeHigh !== inodeHigh)) {
      this.#note(name, 'links', 'one file with others of its names', 'a file of its own');
    }
    if (links < 2) return;
    const other = this.#groups.get(status);
    if (other === undefined) this.#groups.set(status, group);
    else if (other !== group || group === 0)
      this.#note(name, 'links', 'a file of its own', 'one file with another name');
  }

  #content(entry: TreeEntry, status: FileStatus): void {
    const { name } = entry;
    if (entry.size !== status.size) {
      this.#note(name, 'size', String(entry.size), String(status.size));
      return;
    }
    if (status.size === 0) return;
    const descriptor = this.#descent.openFile(name);
    try {
      const found = checksumOfFile(this.#calls, descriptor, status.size, this.#pause);
      if (found !== entry.checksum) this.#note(name, 'content', checksumText(entry.checksum), checksumText(found));
    } finally {
      this.#descent.closeFile(descriptor);
    }
  }

  #target(entry: TreeEntry, directory: OpenDirectory): void {
    const found = directory.readSymlink(entry.name);
    if (found !== entry.target) this.#note(entry.name, 'target', printablePath(entry.target), printablePath(found));
  }

  #xattrs(entry: TreeEntry, xattrs: Xattrs): void {
    // Plain Node sees none, which says nothing.
    if (this.#calls.kind === 'native-free') return;
    const found = new Map(recordedXattrs(xattrs));
    for (const [name, value] of entry.xattrs) {
      const now = found.get(name);
      found.delete(name);
      if (now === undefined || Buffer.compare(now, value) !== 0) {
        this.#note(entry.name, 'xattr', xattrText(name, value), xattrText(name, now));
      }
    }
    for (const [name, value] of found)
      this.#note(entry.name, 'xattr', xattrText(name, undefined), xattrText(name, value));
  }

  /** Notes what is in the directory being left and was not recorded. */
  #extras(recorded: NameSet | undefined): void {
    this.#guarded('', () => {
      for (let entry = this.#descent.next(); entry !== undefined; entry = this.#descent.next()) {
        this.#pause();
        if (!recorded?.has(entry.name)) this.#note(entry.name, 'extra', 'nothing', typeName(entry.usage().type));
      }
    });
  }

  #note(name: BytePath, what: LayerAspect, expected: string, found: string): void {
    this.#differences.add({ path: this.#pathOf(name), what, expected, found });
  }

  #pathOf(name: BytePath): string {
    const { path } = this.#descent;
    return printablePath(path === '' ? name : name === '' ? path : `${path}/${name}`);
  }

  /** What cannot be read is a difference too. */
  #guarded<T>(name: BytePath, action: () => T): T | undefined {
    const { depth } = this.#descent;
    try {
      return action();
    } catch (error) {
      this.#differences.addFailure(this.#pathOf(this.#descent.depth > depth ? '' : name), error);
      while (this.#descent.depth > depth) this.#descent.leave();
      this.#recorded.splice(depth - 1);
      return undefined;
    }
  }
}

/** A directory closed to its owner, which a copy has opened to read it and not closed again, because it is still at it or was killed. Containers do not see that. */
function isLeftOpen(entry: TreeEntry, status: FileStatus): boolean {
  return (
    entry.type === DIRECTORY &&
    process.geteuid?.() !== 0 &&
    isLocked({ ...status, mode: entry.mode }) &&
    status.mode === (entry.mode | OWNER_MAY_ALL)
  );
}

const TYPE_NAMES: ReadonlyMap<FileType, string> = new Map([
  [REGULAR_FILE, 'file'],
  [DIRECTORY, 'directory'],
  [SYMLINK, 'symlink'],
  [FIFO, 'FIFO'],
  [CHARACTER_DEVICE, 'character device'],
  [BLOCK_DEVICE, 'block device'],
  [SOCKET, 'socket'],
]);

function typeName(type: FileType): string {
  return TYPE_NAMES.get(type) ?? `something of type ${type.toString(8)}`;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

/** Seconds since the epoch. */
function timeText({ seconds, nanoseconds }: FileTime): string {
  return `${seconds}.${String(nanoseconds).padStart(9, '0')}`;
}

function checksumText(checksum: number): string {
  return `crc32 ${checksum.toString(16).padStart(8, '0')}`;
}

function xattrText(name: string, value: Xattr[1] | undefined): string {
  if (value === undefined) return `no ${printablePath(name)}`;
  const hex = Buffer.from(value).toString('hex');
  return `${printablePath(name)}=${hex.length > 80 ? `${hex.slice(0, 80)}…` : hex}`;
}
