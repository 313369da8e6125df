import { basename, dirname, resolve } from 'node:path';
import { ProvisionerError, systemCode } from '../errors.js';
import { type BytePath, printablePath, toBytePath } from '../syscalls/byte-path.js';
import { loadSyscalls } from '../syscalls/load-syscalls.js';
import { loadTreeCalls } from '../syscalls/load-tree-calls.js';
import { type Syscalls, syscallError } from '../syscalls/syscalls.js';
import { DIRECTORY, type DirectoryCursor, type OpenDirectory } from '../syscalls/tree-calls.js';
import { Descent } from './descent.js';

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
const OWNER_MAY_ALL = 0o700;

/**
 * Removes a file or a directory with all that is in it; nothing there is no error. Symlinks are removed, never followed. Nothing that is mounted
 * in the tree, or on it, is touched. Names that vanish meanwhile are fine. An ordinary user's directories are made
 * accessible first where they are not. What has been removed when it fails stays removed, and it can be called again.
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
    if (code === undefined || error instanceof ProvisionerError) throw error;
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
  readonly #descent = new Descent();
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
    for (;;) {
      const next = this.#descent.nextPostponed();
      if (next !== undefined) this.#enter(next);
      else if (this.#descent.depth > 1) this.#leave();
      else return;
    }
  }

  close(): void {
    this.#descent.close();
  }

  /** Removes what is no directory, and postpones what is one. */
  #removeEntry(entry: Entry): void {
    if (this.#isCancelled?.()) throw new ProvisionerError('ERR_ABORTED', 'the removal was cancelled');
    if (entry.type === DIRECTORY) {
      this.#descent.postpone(entry.name);
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
      this.#descent.postpone(entry.name);
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

  /** Goes down into a subdirectory and removes its entries. */
  #enter(name: BytePath): void {
    this.#name = name;
    const above = this.#descent.usage;
    const directory = this.#open(name);
    if (directory === undefined) return;
    this.#descent.enter(name, directory);
    this.#name = '';
    const { mountPoint, fileSystem } = this.#descent.usage;
    if (mountPoint || fileSystem !== above.fileSystem) throw syscallError('EBUSY', 'rmdir');
    const entries = this.#cursor(directory);
    while (entries?.next()) this.#removeEntry(entries);
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

  /** @returns undefined for a directory that has gone */
  #cursor(directory: OpenDirectory): DirectoryCursor | undefined {
    try {
      return directory.cursor();
    } catch (error) {
      return this.#canTryAgain(error) ? directory.cursor() : undefined;
    }
  }

  /** Goes back up and removes the directory that has been emptied. */
  #leave(): void {
    const { disk } = this.#descent.usage;
    const name = this.#descent.leave();
    this.#name = name;
    try {
      this.#removeDirectory(name, disk);
    } catch (error) {
      if (this.#canTryAgain(error)) this.#removeDirectory(name, disk);
    }
  }

  #removeDirectory(name: BytePath, disk: number): void {
    try {
      this.#descent.directory.removeDirectory(name);
      this.entries++;
      this.bytes += disk;
    } catch (error) {
      const code = systemCode(error);
      if ((code !== 'ENOTEMPTY' && code !== 'EEXIST') || this.#refilled++ >= MOST_REFILLED) throw error;
      this.#descent.postpone(name);
    }
  }

  /**
   * What to do about a failure in the current directory.
   * @returns true when that directory is the user's own and has been made writable; false when the entry had gone anyway. Else throws.
   */
  #canTryAgain(error: unknown): boolean {
    const code = systemCode(error);
    if (code === 'ENOENT') return false;
    // The directory that holds the tree is not part of it, and stays as it is.
    const ours = code === 'EACCES' && this.#descent.depth > 1;
    const { directory } = this.#descent;
    if (!ours || !madeAccessible(() => directory.setMode('', OWNER_MAY_ALL))) throw error;
    return true;
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
