import { read } from 'node:fs';
import { promisify } from 'node:util';
import { Header } from 'tar';
import { isProvisionerError, systemCode, throwIfAborted } from '../../../base/errors.js';
import { Turns } from '../../../base/unhurried.js';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
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
} from '../../../system/syscalls/tree-calls.js';
import type { HeldPlace } from '../../bundle/rootfs/rootfs-view.js';
import { isDraft } from '../drafts.js';
import { sortedNames } from '../file-info.js';
import { changed, filesError, LEVELS_MAX, tooDeep } from '../files-errors.js';
import { isMadeUp } from '../kernel-file-systems.js';
import { MountedDirectory } from '../mounts/mounted-directory.js';
import type { LeftOutNotes } from './left-out-list.js';
import {
  type ArchivedEntry,
  type ArchivedType,
  END_OF_ARCHIVE,
  lengthOf,
  paddingAfter,
  type Stretch,
  TarHeaders,
} from './tar-entries.js';

const readAt = promisify(read);

/** Bytes that are read, and given, at once. */
const PIECE = 256 * 1024;
/** Looks at an entry that changes between two of them. */
const LOOKS = 5;
/** What has become of an entry that is not what it was a moment ago. */
const CHANGES = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EINVAL']);
/** Of one file, which keeps the map of it small; what follows is then one stretch to the end. */
const STRETCHES_MAX = 50_000;
const NODES: ReadonlyMap<FileType, ArchivedType> = new Map([
  [FIFO, 'FIFO'],
  [CHARACTER_DEVICE, 'CharacterDevice'],
  [BLOCK_DEVICE, 'BlockDevice'],
]);

export interface TreeArchiveOptions {
  /** What the top is called in the archive; empty when what is in it stands at the top of the archive. */
  readonly as: BytePath;
  /** How messages call a path of the archive. */
  readonly shown: (path: BytePath) => string;
  /** Stay on the file system of the top: of what is mounted in it there is the directory alone. Default: false. */
  readonly withoutMounts?: boolean;
  /** Leave devices out. Default: false. */
  readonly withoutDevices?: boolean;
  /** Where is noted what is left out. */
  readonly leftOut?: LeftOutNotes | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A directory on the way down. */
interface Level {
  readonly directory: OpenDirectory;
  readonly path: BytePath;
  readonly names: readonly BytePath[];
  next: number;
}

/**
 * A tar archive of what is held, made while it is read, in memory that does not grow with files. The tree may be changed meanwhile by somebody who means harm: all goes by way of open
 * directories and names in them, no symlink is followed, and nothing but regular files is opened.
 * @throws ProvisionerError `ERR_FILE_CHANGED` for a file that has become shorter, `ERR_FILE_TYPE` for a tree that is too deep, `ERR_ABORTED`
 */
export async function* archiveTree(
  calls: TreeCalls,
  top: HeldPlace,
  options: TreeArchiveOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const archive = new TreeArchive(calls, options);
  try {
    yield* archive.pieces(top);
  } catch (error) {
    throw filesError(error, 'read', options.shown(options.as));
  } finally {
    archive.close();
  }
}

class TreeArchive {
  readonly #calls: TreeCalls;
  readonly #options: TreeArchiveOptions;
  readonly #headers = new TarHeaders(Header);
  readonly #turns = new Turns();
  readonly #levels: Level[] = [];
  /** Files of several names: where each was first. */
  readonly #linked = new Map<string, BytePath>();
  #ready: Buffer[] = [];
  #readyBytes = 0;
  #fileSystem: string | undefined;

  constructor(calls: TreeCalls, options: TreeArchiveOptions) {
    this.#calls = calls;
    this.#options = options;
  }

  close(): void {
    for (const { directory } of this.#levels.splice(0)) directory.close();
  }

  async *pieces({ directory, name }: HeldPlace): AsyncGenerator<Buffer, void, undefined> {
    const { as, signal } = this.#options;
    if (name === '') this.#enter(directory, '', as);
    else yield* this.#entry(directory, name, as);
    for (let level = this.#levels.at(-1); level !== undefined; level = this.#levels.at(-1)) {
      throwIfAborted(signal);
      await this.#turns.take();
      const next = level.names[level.next++];
      if (next === undefined) this.#levels.pop()?.directory.close();
      else if (!isDraft(next)) yield* this.#entry(level.directory, next, join(level.path, next));
      if (this.#readyBytes >= PIECE) yield this.#taken();
    }
    this.#put(END_OF_ARCHIVE);
    yield this.#taken();
  }

  /** What is gone before it could be looked at was never there. */
  async *#entry(directory: OpenDirectory, name: BytePath, path: BytePath): AsyncGenerator<Buffer, void, undefined> {
    for (let look = 1; ; look++) {
      try {
        const status = directory.status(name);
        if (status.type === REGULAR_FILE) return yield* this.#file(directory, name, path);
        if (status.type === DIRECTORY) return this.#enter(directory, name, path);
        return this.#other(directory, name, path, status);
      } catch (error) {
        if (isProvisionerError(error, 'ERR_MOUNT_SOURCE')) {
          this.#options.leftOut?.note(this.#options.shown(path), 'volume');
          return;
        }
        const code = systemCode(error) ?? '';
        if (code === 'ENOENT') return;
        if (!CHANGES.has(code) || look === LOOKS) throw filesError(error, 'read', this.#options.shown(path));
      }
    }
  }

  #enter(parent: OpenDirectory, name: BytePath, path: BytePath): void {
    const { shown, withoutMounts = false, leftOut } = this.#options;
    if (this.#levels.length === LEVELS_MAX) throw tooDeep('read', shown(path));
    const directory = parent.openDirectory(name);
    try {
      const status = directory.status('');
      if (path !== '') {
        const xattrs = xattrsOf(directory.xattrs(''));
        this.#put(this.#headers.of({ type: 'Directory', path: `${path}/`, status, xattrs }));
      }
      const { fileSystem } = directory.usage('');
      this.#fileSystem ??= fileSystem;
      const isElsewhere = withoutMounts && fileSystem !== this.#fileSystem;
      const lost = isElsewhere ? undefined : lostIn(directory);
      if (lost !== undefined) leftOut?.note(shown(path), lost);
      const names = lost !== undefined || isElsewhere ? [] : sortedNames(directory);
      this.#levels.push({ directory, path, names, next: 0 });
    } catch (error) {
      directory.close();
      throw error;
    }
  }

  async *#file(directory: OpenDirectory, name: BytePath, path: BytePath): AsyncGenerator<Buffer, void, undefined> {
    const file = directory.openRegularFile(name);
    try {
      const status = this.#calls.fileStatus(file);
      if (status.links > 1) {
        const first = this.#linked.get(status.identity);
        if (first !== undefined) {
          this.#put(this.#headers.of({ type: 'Link', path, status, linkPath: first }));
          return;
        }
        this.#linked.set(status.identity, path);
      }
      const { size } = status;
      const xattrs = xattrsOf(this.#calls.fileXattrs(file));
      const stretches = stretchesOf(this.#calls, file, status);
      const entry: ArchivedEntry = { type: 'File', path, status, size, xattrs, stretches };
      this.#put(this.#headers.of(entry));
      const data = stretches ?? [{ start: 0, end: size }];
      for (const stretch of data) yield* this.#content(file, stretch, path);
      this.#put(paddingAfter(lengthOf(data)));
    } finally {
      this.#calls.closeFile(file);
    }
  }

  async *#content(file: number, { start, end }: Stretch, path: BytePath): AsyncGenerator<Buffer, void, undefined> {
    const { signal, shown } = this.#options;
    for (let position = start; position < end; ) {
      throwIfAborted(signal);
      const piece = Buffer.allocUnsafe(Math.min(PIECE, end - position));
      const { bytesRead } = await readAt(file, piece, 0, piece.length, position);
      if (bytesRead === 0) throw changed('read', shown(path), 'it has become shorter meanwhile');
      position += bytesRead;
      this.#put(piece.subarray(0, bytesRead));
      if (this.#readyBytes >= PIECE) yield this.#taken();
    }
  }

  #other(directory: OpenDirectory, name: BytePath, path: BytePath, status: FileStatus): void {
    const { leftOut, shown, withoutDevices = false } = this.#options;
    const type = NODES.get(status.type);
    if (status.type === SOCKET) leftOut?.note(shown(path), 'socket');
    else if (withoutDevices && type !== undefined && type !== 'FIFO') leftOut?.note(shown(path), 'device');
    else if (type !== undefined) this.#put(this.#headers.of({ type, path, status }));
    else if (status.type === SYMLINK)
      this.#put(this.#headers.of({ type: 'SymbolicLink', path, status, linkPath: directory.readSymlink(name) }));
  }

  #put(bytes: Buffer): void {
    this.#ready.push(bytes);
    this.#readyBytes += bytes.length;
  }

  #taken(): Buffer {
    const bytes = Buffer.concat(this.#ready);
    this.#ready = [];
    this.#readyBytes = 0;
    return bytes;
  }
}

/** Why nothing can be had of what is in a directory. */
function lostIn(directory: OpenDirectory): 'kernel' | 'tmpfs' | undefined {
  if (directory instanceof MountedDirectory && directory.lost !== undefined) return directory.lost;
  return isMadeUp(directory) ? 'kernel' : undefined;
}

/** Those that mean the same elsewhere: what users set, and capabilities. Labels and keys of this machine's security modules, and ACLs, for which archives have no common form, stay here. */
export function isCopiedXattr(name: string): boolean {
  return name.startsWith('user.') || name === CAPABILITY;
}

/** Gives a program privileges, as setuid does. */
export const CAPABILITY = 'security.capability';

function xattrsOf(xattrs: Xattrs): (readonly [string, Uint8Array])[] {
  return xattrs
    .list()
    .filter(isCopiedXattr)
    .sort()
    .flatMap((name) => {
      const value = xattrs.get(name);
      return value === undefined ? [] : [[name, value] as const];
    });
}

/** @returns undefined for a file without holes */
function stretchesOf(calls: TreeCalls, file: number, { size, disk }: FileStatus): Stretch[] | undefined {
  if (disk >= size) return undefined;
  const stretches: Stretch[] = [];
  for (let position = 0; position < size && stretches.length < STRETCHES_MAX; ) {
    const found = calls.nextData(file, position, size);
    if (found === undefined) break;
    const end = stretches.length + 1 === STRETCHES_MAX ? size : found.end;
    stretches.push({ start: found.start, end });
    position = end;
  }
  const [first] = stretches;
  return first?.start === 0 && first.end === size ? undefined : stretches;
}

function join(directory: BytePath, name: BytePath): BytePath {
  return directory === '' ? name : `${directory}/${name}`;
}
