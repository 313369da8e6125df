import { readSync } from 'node:fs';
import { systemCode } from '../../../base/errors.js';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
import { syscallError } from '../../../system/syscalls/syscalls.js';
import {
  DIRECTORY,
  type FileStatus,
  type FileType,
  type OpenDirectory,
  REGULAR_FILE,
  SYMLINK,
  type TreeCalls,
} from '../../../system/syscalls/tree-calls.js';

/** As many as the kernel follows. @see path_resolution(7) */
const LINKS_MAX = 40;
const NAME_MAX = 255;
/** Of links put together too, so that a few of them cannot make a path that never ends. */
const COMPONENTS_MAX = 4096;
/** Directories opened once more from the top for `..` on one path, since nobody may be kept waiting by a path. Two hundred times `..` from a depth of forty are fewer. */
const REOPENED_MAX = 8192;

/** What a path means inside a tree. */
export interface Place {
  /** Absolute inside the tree; no component of it is a symlink, `.` or `..`. */
  readonly path: BytePath;
  /** Undefined where nothing is. */
  readonly type: FileType | undefined;
  /** The mount on or below which the place is, of those that were named: what the tree has there will be covered, and was not looked at. */
  readonly below: BytePath | undefined;
}

/** What a path leads to inside a tree, held: whatever happens to the path, what is done in `directory` happens there. */
export interface HeldPlace {
  /** As of `Place`. */
  readonly path: BytePath;
  /** The directory that the path leads to; of what is none, and of what is not there, the one that it is in. To be closed. */
  readonly directory: OpenDirectory;
  /** In `directory`; empty for that itself. */
  readonly name: BytePath;
  /** Undefined where nothing is. */
  readonly status: FileStatus | undefined;
}

/** Is asked of each symlink before it is followed, and throws for one that is not to be. @param directory the one that it is in @param name in that */
export type LinkGuard = (directory: FileStatus, name: BytePath, link: FileStatus) => void;

export type Reading = { readonly text: string } | { readonly problem: string };

/**
 * A tree looked at as the programs that will have it as their root will see it: an absolute symlink begins at the tree's own top, and `..` does not lead out of it. All
 * goes by way of open directories, one component at a time, none of them followed, so nothing outside can be reached, whatever the tree holds. Nobody else
 * changes the tree meanwhile; if somebody does, calls fail.
 */
export class RootfsView {
  readonly #calls: TreeCalls;
  readonly #root: OpenDirectory;
  readonly #guard: LinkGuard | undefined;

  /** @param directory absolute, its last component no symlink; or one that is open, which is closed with this @throws system errors */
  constructor(calls: TreeCalls, directory: string | OpenDirectory, guard?: LinkGuard) {
    this.#calls = calls;
    this.#guard = guard;
    this.#root = typeof directory === 'string' ? calls.openDirectory(directory) : directory;
  }

  close(): void {
    this.#root.close();
  }

  /** Equal for two views of one tree and for nothing else. */
  get identity(): string {
    return this.#root.status('').identity;
  }

  /** Undefined where the system does not tell. */
  get isMountPoint(): boolean | undefined {
    return this.#root.usage('').mountPoint;
  }

  /**
   * @param path from the top, whether it begins with a slash or not
   * @param mounts plain paths at which something will be mounted: at and below them the path is taken by the letter
   * @throws `ELOOP`, `ENOTDIR` for a way through what is no directory, `ENAMETOOLONG`; else system errors
   */
  resolve(path: BytePath, mounts: readonly BytePath[] = []): Place {
    const { at, directory, holder, status } = this.#walk(path, mounts, true);
    directory?.close();
    holder?.close();
    const plain = pathOf(at);
    return {
      path: plain,
      type: directory === undefined ? status?.type : DIRECTORY,
      below: coveringMount(plain, mounts),
    };
  }

  /**
   * As `resolve`, and holds what it has come to.
   * @param follow whether a symlink that the path ends with is followed, as one with a slash behind it always is
   * @throws as `resolve`, and what the guard does; `ENOENT` when the directory is missing that it would be in
   */
  hold(path: BytePath, { follow = true }: { readonly follow?: boolean } = {}): HeldPlace {
    const { at, directory, holder, status } = this.#walk(path, [], follow);
    const held = { path: pathOf(at), status };
    if (directory !== undefined) return { ...held, directory, name: '', status: directory.status('') };
    if (holder === undefined) throw syscallError('ENOENT', 'open', path);
    if (status === undefined || !path.endsWith('/')) return { ...held, directory: holder, name: at.at(-1) ?? '' };
    holder.close();
    throw syscallError('ENOTDIR', 'open', path);
  }

  /** Both that are open are the caller's: the directory that the path leads to, or that in which what is none is, or would be. */
  #walk(
    path: BytePath,
    mounts: readonly BytePath[],
    follow: boolean,
  ): {
    readonly at: readonly string[];
    readonly directory: OpenDirectory | undefined;
    readonly holder: OpenDirectory | undefined;
    readonly status: FileStatus | undefined;
  } {
    const pending = path.split('/');
    let at: string[] = [];
    let directory: OpenDirectory | undefined = this.#openPlain(at);
    let holder: OpenDirectory | undefined;
    let status: FileStatus | undefined;
    let links = 0;
    let reopened = 0;
    // Asked at each step: the path is not put together for nothing.
    const isCovered = (names: readonly string[]) =>
      mounts.length > 0 && coveringMount(pathOf(names), mounts) !== undefined;
    const letGo = () => {
      directory?.close();
      holder?.close();
      directory = undefined;
      holder = undefined;
      status = undefined;
    };
    const back = (names: string[]) => {
      letGo();
      at = names;
      reopened += names.length;
      if (reopened > REOPENED_MAX) throw syscallError('ENAMETOOLONG', 'open', path);
      if (!isCovered(at)) directory = this.#openIfThere(at);
    };
    try {
      for (let steps = 0; ; steps++) {
        const name = pending.shift();
        if (name === undefined) break;
        if (name === '' || name === '.') continue;
        if (steps > COMPONENTS_MAX || name.length > NAME_MAX) throw syscallError('ENAMETOOLONG', 'open', path);
        if (name === '..') {
          back(at.slice(0, -1));
          continue;
        }
        const next = [...at, name];
        if (directory === undefined || isCovered(next)) {
          letGo();
          at = next;
          continue;
        }
        status = statusOf(directory, name);
        if (status?.type === SYMLINK && (follow || pending.length > 0)) {
          if (++links > LINKS_MAX) throw syscallError('ELOOP', 'open', path);
          this.#guard?.(directory.status(''), name, status);
          const target = directory.readSymlink(name);
          pending.unshift(...target.split('/'));
          if (target.startsWith('/')) back([]);
          else status = undefined;
          continue;
        }
        if (status !== undefined && status.type !== DIRECTORY && pending.some((rest) => rest !== ''))
          throw syscallError('ENOTDIR', 'open', path);
        const inside: OpenDirectory | undefined =
          status?.type === DIRECTORY ? directory.openDirectory(name) : undefined;
        if (inside === undefined) holder = directory;
        else directory.close();
        directory = inside;
        at = next;
      }
      return { at, directory, holder, status };
    } catch (error) {
      letGo();
      throw error;
    }
  }

  /**
   * Makes what is missing on a plain path, directories with mode 0755.
   * @param kind what the last component is made as: a file is empty and has mode 0644
   * @throws system errors, `EROFS` among them
   */
  make(path: BytePath, kind: 'directory' | 'file'): void {
    const names = namesOf(path);
    const last = kind === 'file' ? names.pop() : undefined;
    let directory = this.#root.openDirectory('');
    try {
      for (const name of names) {
        // The umask is the whole process's, and is left alone.
        if (directory.makeDirectory(name)) directory.setDirectoryMode(name, 0o755);
        const inside = directory.openDirectory(name);
        directory.close();
        directory = inside;
      }
      if (last === undefined || statusOf(directory, last) !== undefined) return;
      const file = directory.createFile(last, 0o644);
      try {
        this.#calls.setFileMode(file, 0o644);
      } finally {
        this.#calls.closeFile(file);
      }
    } finally {
      directory.close();
    }
  }

  /**
   * A regular file as text. Of another kind it is not opened, since a device may do something when it is, also where a program is changing the tree meanwhile.
   * @param limit in bytes; what is larger is not read
   */
  read(path: BytePath, limit: number): Reading {
    let descriptor: number | undefined;
    try {
      const place = this.resolve(path);
      if (place.type === undefined) return { problem: 'is missing' };
      if (place.type !== REGULAR_FILE) return { problem: 'is no regular file' };
      const names = namesOf(place.path);
      const name = names.pop() ?? '';
      const directory = this.#openPlain(names);
      try {
        descriptor = directory.openRegularFile(name);
      } finally {
        directory.close();
      }
      const { type, size } = this.#calls.fileStatus(descriptor);
      if (type !== REGULAR_FILE) return { problem: 'is no regular file' };
      if (size > limit) return { problem: `has ${size} bytes, more than the ${limit} that are read` };
      return { text: readAtMost(descriptor, size) };
    } catch (error) {
      const problem = PROBLEMS[systemCode(error) ?? ''];
      if (problem === undefined) throw error;
      return { problem };
    } finally {
      if (descriptor !== undefined) this.#calls.closeFile(descriptor);
    }
  }

  #openIfThere(names: readonly string[]): OpenDirectory | undefined {
    try {
      return this.#openPlain(names);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #openPlain(names: readonly string[]): OpenDirectory {
    let directory = this.#root.openDirectory('');
    for (const name of names) {
      try {
        const inside = directory.openDirectory(name);
        directory.close();
        directory = inside;
      } catch (error) {
        directory.close();
        throw error;
      }
    }
    return directory;
  }
}

/** It may be growing. */
function readAtMost(descriptor: number, size: number): string {
  const bytes = Buffer.alloc(size);
  let length = 0;
  for (let read = -1; length < size && read !== 0; length += read)
    read = readSync(descriptor, bytes, length, size - length, null);
  return bytes.toString('utf8', 0, length);
}

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'is missing',
  EINVAL: 'is no regular file',
  ELOOP: 'is a symlink that leads nowhere',
  ENOTDIR: 'leads through what is no directory',
  ENAMETOOLONG: 'leads to a path that is too long',
};

/** The deepest of these plain paths that is at or above another one. */
export function coveringMount(path: BytePath, mounts: readonly BytePath[]): BytePath | undefined {
  return mounts.filter((mount) => isAtOrBelow(path, mount)).sort((one, other) => other.length - one.length)[0];
}

export function isAtOrBelow(path: BytePath, directory: BytePath): boolean {
  return path === directory || directory === '/' || path.startsWith(`${directory}/`);
}

/** Undefined where nothing is. */
export function statusOf(directory: OpenDirectory, name: BytePath): FileStatus | undefined {
  try {
    return directory.status(name);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function namesOf(path: BytePath): string[] {
  return path.split('/').filter((name) => name !== '');
}

function pathOf(names: readonly string[]): BytePath {
  return `/${names.join('/')}`;
}
