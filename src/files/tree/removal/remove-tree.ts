import { basename, dirname, resolve } from 'node:path';
import { isProvisionerError, ProvisionerError, systemCode } from '../../../base/errors.js';
import { type BytePath, printablePath, toBytePath } from '../../../system/syscalls/byte-path.js';
import { loadSyscalls } from '../../../system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../../../system/syscalls/load-tree-calls.js';
import { type Syscalls, syscallError } from '../../../system/syscalls/syscalls.js';
import { DIRECTORY, type DirectoryCursor, type OpenDirectory } from '../../../system/syscalls/tree-calls.js';
import { Descent } from '../descent.js';
import { isMountedIn } from './is-mounted-in.js';

export interface RemoveTreeOptions {
  /** Asked for every entry. Default: never cancelled. */
  readonly isCancelled?: () => boolean;
  /** Default: the best that there are here. */
  readonly syscalls?: Syscalls;
}

export interface RemoveTreeResult {
  /** Names removed, the tree's own among them. */
  readonly entries: number;
  /** Disk use given back, as `du` counts it: of a file with several names when its last one goes. */
  readonly bytes: number;
}

type Entry = Pick<DirectoryCursor, 'name' | 'type' | 'usage' | 'removeFile'>;

/** So many directories may be found to have new entries when they should be empty; then somebody is still at work in the tree. */
const MOST_REFILLED = 16;
/** So many entries may show in one directory before it is asked whether it is empty. */
const MOST_SHOWN = 20_000_000;
const OWNER_MAY_ALL = 0o700;

/**
 * Removes a file or a directory with all that is in it, in memory that does not grow with it; nothing there is no error. Symlinks are removed, never
 * followed. Nothing that is mounted in the tree, or on it, is touched. Names that vanish meanwhile are fine. An ordinary user's directories are made
 * accessible first where they are not, and root's lose the flags that make them immutable. What has been removed when it fails stays removed, and it can be called again.
 *
 * Synchronous, for a worker thread.
 * @param path absolute
 * @throws like Node's `fs`, with the whole path: `EBUSY` for a mount point. ProvisionerError `ERR_ABORTED`
 */
export function removeTree(path: string, options: RemoveTreeOptions = {}): RemoveTreeResult {
  const calls = loadTreeCalls(options.syscalls ?? loadSyscalls());
  const absolute = resolve(path);
  let above: OpenDirectory;
  try {
    // The dot has a symlink on the way there followed: only what is removed must not be one.
    above = calls.openDirectory(`${dirname(absolute)}/.`);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return { entries: 0, bytes: 0 };
    throw error;
  }
  return removeFrom(above, toBytePath(basename(absolute)), dirname(absolute), options.isCancelled);
}

/** As `removeTree`, of an entry of an open directory, which is closed. @param where that directory's path, for messages */
export function removeFrom(
  above: OpenDirectory,
  name: BytePath,
  where: string,
  isCancelled?: () => boolean,
): RemoveTreeResult {
  const removal = new Removal(above, isCancelled);
  try {
    removal.run(name);
    return { entries: removal.entries, bytes: removal.bytes };
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined || isProvisionerError(error)) throw error;
    const { syscall = 'rm' } = error as NodeJS.ErrnoException;
    throw Object.assign(syscallError(code, syscall, `${where}/${printablePath(removal.current)}`), { cause: error });
  } finally {
    removal.close();
  }
}

class Removal {
  entries = 0;
  bytes = 0;
  /** What is being removed, for messages. */
  #name: BytePath = '';
  #refilled = 0;
  /** The last directory that was left is empty, and what it is called is not known any more. */
  #emptied = false;
  readonly #descent = new Descent('before');
  readonly #isCancelled: (() => boolean) | undefined;

  constructor(above: OpenDirectory, isCancelled: (() => boolean) | undefined) {
    this.#descent.enter('', above);
    this.#isCancelled = isCancelled;
  }

  get current(): BytePath {
    return `${this.#descent.path}/${this.#name}`.split('/').filter(Boolean).join('/');
  }

  run(name: BytePath): void {
    this.#removeEntry(this.#entryOf(name));
    // The directory that holds the tree has others as well, and is not read.
    while (this.#descent.depth > 1) {
      const entry = this.#next();
      if (entry !== undefined) this.#removeEntry(entry);
      else this.#leave();
    }
  }

  close(): void {
    this.#descent.close();
  }

  /** @returns undefined when all entries of the current directory have been shown */
  #next(): DirectoryCursor | undefined {
    // Who adds entries as fast as they are removed must not keep us here for ever.
    if (this.#descent.shown >= MOST_SHOWN) return undefined;
    try {
      return this.#descent.next();
    } catch (error) {
      this.#name = '';
      return this.#canTryAgain(error) ? this.#descent.next() : undefined;
    }
  }

  #removeEntry(entry: Entry): void {
    if (this.#isCancelled?.()) throw new ProvisionerError('ERR_ABORTED', 'the removal was cancelled');
    if (entry.type === DIRECTORY) {
      this.#enter(entry.name);
      return;
    }
    try {
      this.#removeFile(entry);
    } catch (error) {
      this.#name = entry.name;
      if (this.#canTryAgain(error)) this.#removeFile(entry);
    }
  }

  #removeFile(entry: Entry): void {
    const { type, links, disk } = entry.usage();
    if (type === DIRECTORY) {
      this.#enter(entry.name);
      return;
    }
    entry.removeFile();
    this.entries++;
    if (links === 1) this.bytes += disk;
  }

  /** An entry of the current directory whose type is not known. */
  #entryOf(name: BytePath): Entry {
    const { directory } = this.#descent;
    return {
      name,
      type: undefined,
      usage: () => directory.usage(name),
      removeFile: () => directory.removeFile(name),
    };
  }

  /** Goes down into a subdirectory. */
  #enter(name: BytePath): void {
    this.#name = name;
    const above = this.#descent.usage;
    const directory = this.#open(name);
    if (directory === undefined) return;
    const usage = directory.usage('');
    if (isMountedIn(above, usage)) {
      directory.close();
      throw syscallError('EBUSY', 'rmdir');
    }
    // A snapshot, perhaps: it goes like any other directory once it is empty, and must be written for that.
    if (usage.fileSystem !== above.fileSystem) directory.makeSubvolumeWritable();
    const emptied = this.#emptied;
    this.#emptied = false;
    if (emptied && this.#isGone(name, usage.disk)) {
      directory.close();
      return;
    }
    this.#descent.enter(name, directory, usage);
    this.#name = '';
  }

  /** @returns undefined when it is not there any more, or was no directory any more and has been removed */
  #open(name: BytePath): OpenDirectory | undefined {
    const parent = this.#descent.directory;
    try {
      return parent.openDirectory(name);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT') return undefined;
      if (code === 'ENOTDIR' || code === 'ELOOP') {
        this.#removeEntry(this.#entryOf(name));
        return undefined;
      }
      if (code !== 'EACCES' || !madeAccessible(() => parent.setDirectoryMode(name, OWNER_MAY_ALL))) throw error;
      return parent.openDirectory(name);
    }
  }

  /** Goes back up and removes the directory that has been emptied. */
  #leave(): void {
    const { name, usage, lost } = this.#descent.leave();
    if (lost) {
      // What is left in the tree is in directories that turn out not to be empty, and is come to then.
      this.#refill();
      return;
    }
    this.#emptied = name === undefined;
    // Then it shows as the next entry of the directory that it is in.
    if (name === undefined) return;
    this.#name = name;
    try {
      this.#removeDirectory(name, usage.disk);
    } catch (error) {
      if (this.#canTryAgain(error)) this.#removeDirectory(name, usage.disk);
    }
  }

  #removeDirectory(name: BytePath, disk: number): void {
    if (this.#isRemoved(name, disk)) return;
    this.#refill();
    this.#enter(name);
  }

  /** @returns false when it is not empty */
  #isRemoved(name: BytePath, disk: number): boolean {
    try {
      this.#descent.directory.removeDirectory(name);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
      throw error;
    }
    this.entries++;
    this.bytes += disk;
    return true;
  }

  /** As `#isRemoved`; what is the matter with one that is not shows when it is left. */
  #isGone(name: BytePath, disk: number): boolean {
    try {
      return this.#isRemoved(name, disk);
    } catch {
      return false;
    }
  }

  /** A directory had entries after all when it was to be removed. */
  #refill(): void {
    if (this.#refilled++ >= MOST_REFILLED) throw syscallError('ENOTEMPTY', 'rmdir');
  }

  /**
   * What to do about a failure in the current directory.
   * @returns true when that directory is the user's own and has been made writable, or it or the entry was immutable and is not any more; false when the
   *   entry had gone anyway. Else throws.
   */
  #canTryAgain(error: unknown): boolean {
    const code = systemCode(error);
    if (code === 'ENOENT') return false;
    if (code === 'EPERM' && this.#madeMutable()) return true;
    // The directory that holds the tree is not part of it, and stays as it is.
    const ours = code === 'EACCES' && this.#descent.depth > 1;
    const { directory } = this.#descent;
    if (!ours || !madeAccessible(() => directory.setMode('', OWNER_MAY_ALL))) throw error;
    return true;
  }

  /** Whether flags kept the entry, or all that is in the current directory, from being removed, and have been taken. */
  #madeMutable(): boolean {
    const { directory, depth } = this.#descent;
    const entry = this.#name !== '' && directory.makeMutable(this.#name);
    // What holds the tree is not part of it.
    return (depth > 1 && directory.makeMutable('')) || entry;
  }
}

function madeAccessible(change: () => void): boolean {
  try {
    change();
    return true;
  } catch {
    // Not ours to change: the error to report is the one that led here.
    return false;
  }
}
