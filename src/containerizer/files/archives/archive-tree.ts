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
import { SEGMENTS_MAX } from '../../../system/tar/sparse.js';
import type { HeldPlace } from '../../bundle/rootfs/rootfs-view.js';
import { changed, filesError, LEVELS_MAX, tooDeep, wrongKind } from '../files-errors.js';
import { isMadeUp } from '../kernel-file-systems.js';
import { MountedDirectory } from '../mounts/mounted-directory.js';
import { KeptNames, type Place, placeIn } from './kept-names.js';
import type { LeftOutNotes } from './left-out-list.js';
import type { SharedCopy } from './shared-copy.js';
import {
  type ArchivedType,
  END_OF_ARCHIVE,
  isPlainXattr,
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
/** Of one entry: as many as are read again. A program in a container makes files of any number. */
const STRETCHES_MAX = SEGMENTS_MAX;
/** Of names that are remembered, in bytes. */
const NAMES_MAX = 128 * 1024 * 1024;
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
  /** Of an archive that is unpacked while it is made, by one that reads what others do not: files of more stretches than an entry has room for, attributes of any name. */
  readonly copy?: SharedCopy;
  /** Of one entry. Default: 100 000. */
  readonly stretchesMax?: number;
  /** Bytes of names that are remembered, about. Default: 128 MiB. */
  readonly namesMax?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Where the data of a file is, from some position on. */
interface SparsePart {
  readonly stretches: readonly Stretch[];
  /** Where what is not among them begins. */
  readonly rest: number | undefined;
}

/** A directory on the way down. */
interface Level {
  readonly directory: OpenDirectory;
  readonly path: BytePath;
  readonly place: Place;
  readonly names: readonly BytePath[];
  next: number;
}

/**
 * A tar archive of what is held, made while it is read, in memory that does not grow with files and has a limit for their names. The tree may be changed meanwhile by somebody who means harm: all goes by way of open
 * directories and names in them, no symlink is followed, and nothing but regular files is opened.
 * @throws ProvisionerError `ERR_FILE_CHANGED` for a file that has become shorter, `ERR_FILE_TYPE` for a tree that is too deep or has too many names at once, and for a file of too many holes, `ERR_ABORTED`
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
  readonly #kept: KeptNames;
  #ready: Buffer[] = [];
  #readyBytes = 0;
  #fileSystem: string | undefined;

  constructor(calls: TreeCalls, options: TreeArchiveOptions) {
    this.#calls = calls;
    this.#options = options;
    const { namesMax = NAMES_MAX } = options;
    const why = `its directories, or its files of several names, have more names than ${namesMax} bytes have room for`;
    this.#kept = new KeptNames(namesMax, () => wrongKind('read', options.shown(options.as), why));
  }

  close(): void {
    for (const { directory } of this.#levels.splice(0)) directory.close();
  }

  async *pieces({ directory, name }: HeldPlace): AsyncGenerator<Buffer, void, undefined> {
    const { as, copy, signal } = this.#options;
    const top = placeIn(undefined, as);
    if (name === '') this.#enter(directory, '', as, top);
    else yield* this.#entry(directory, name, as, top);
    for (let level = this.#levels.at(-1); level !== undefined; level = this.#levels.at(-1)) {
      throwIfAborted(signal);
      await this.#turns.take();
      const next = level.names[level.next++];
      if (next === undefined) this.#leave(level);
      else if (copy?.drafts.has(next) !== true)
        yield* this.#entry(level.directory, next, join(level.path, next), placeIn(level.place, next));
      if (this.#readyBytes >= PIECE) yield this.#taken();
    }
    this.#put(END_OF_ARCHIVE);
    yield this.#taken();
  }

  /** What is gone before it could be looked at was never there. */
  async *#entry(
    directory: OpenDirectory,
    name: BytePath,
    path: BytePath,
    place: Place,
  ): AsyncGenerator<Buffer, void, undefined> {
    for (let look = 1; ; look++) {
      try {
        const status = directory.status(name);
        if (status.type === REGULAR_FILE) return yield* this.#file(directory, name, path, place);
        if (status.type === DIRECTORY) return this.#enter(directory, name, path, place);
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

  #leave({ directory, names }: Level): void {
    this.#levels.pop();
    this.#kept.release(names);
    directory.close();
  }

  #enter(parent: OpenDirectory, name: BytePath, path: BytePath, place: Place): void {
    const { shown, withoutMounts = false, leftOut } = this.#options;
    if (this.#levels.length === LEVELS_MAX) throw tooDeep('read', shown(path));
    const directory = parent.openDirectory(name);
    try {
      const status = directory.status('');
      if (path !== '') {
        const xattrs = this.#xattrsOf(directory.xattrs(''), path);
        this.#put(this.#headers.of({ type: 'Directory', path: `${path}/`, status, xattrs }));
      }
      const { fileSystem } = directory.usage('');
      this.#fileSystem ??= fileSystem;
      const isElsewhere = withoutMounts && fileSystem !== this.#fileSystem;
      const lost = isElsewhere ? undefined : lostIn(directory);
      if (lost !== undefined) leftOut?.note(shown(path), lost);
      const names = lost !== undefined || isElsewhere ? [] : this.#sortedNames(directory);
      this.#levels.push({ directory, path, place, names, next: 0 });
    } catch (error) {
      directory.close();
      throw error;
    }
  }

  /** They are counted as they come: there may be more than fit in memory. */
  #sortedNames(directory: OpenDirectory): BytePath[] {
    const cursor = directory.cursor(0n);
    try {
      const names: BytePath[] = [];
      while (cursor.next()) {
        const { name } = cursor;
        this.#kept.keep(name);
        names.push(name);
      }
      return names.sort();
    } finally {
      cursor.close();
    }
  }

  async *#file(
    directory: OpenDirectory,
    name: BytePath,
    path: BytePath,
    place: Place,
  ): AsyncGenerator<Buffer, void, undefined> {
    const file = directory.openRegularFile(name);
    try {
      const status = this.#calls.fileStatus(file);
      const linkPath = status.links > 1 ? this.#kept.firstOf(status, place) : undefined;
      if (linkPath !== undefined) {
        this.#put(this.#headers.of({ type: 'Link', path, status, linkPath }));
        return;
      }
      const { size } = status;
      const xattrs = this.#xattrsOf(this.#calls.fileXattrs(file), path);
      for (let rest: number | undefined = 0; rest !== undefined; ) {
        const part: SparsePart | undefined = this.#sparsePart(file, status, rest);
        rest = part?.rest;
        yield* this.#continuedIf(rest !== undefined, path);
        this.#put(this.#headers.of({ type: 'File', path, status, size, xattrs, stretches: part?.stretches }));
        const data = part?.stretches ?? [{ start: 0, end: size }];
        for (const stretch of data) yield* this.#content(file, stretch, path);
        this.#put(paddingAfter(lengthOf(data)));
      }
    } finally {
      this.#calls.closeFile(file);
    }
  }

  /** An archive of others has no room for the rest of a file with holes, and to fill these would take more than anybody has. */
  async *#continuedIf(isContinued: boolean, path: BytePath): AsyncGenerator<Buffer, void, undefined> {
    const { copy, shown, stretchesMax = STRETCHES_MAX } = this.#options;
    if (isContinued && copy === undefined)
      throw wrongKind(
        'read',
        shown(path),
        `it has more than ${stretchesMax} stretches of data with holes between them, for which an archive has no room`,
      );
    if (copy === undefined || copy.isContinued === isContinued) return;
    yield this.#taken();
    copy.isContinued = isContinued;
  }

  /** @returns what there is of a file with holes from a position on; undefined for one without */
  #sparsePart(file: number, { size, disk }: FileStatus, from: number): SparsePart | undefined {
    if (disk >= size) return undefined;
    const { stretchesMax = STRETCHES_MAX } = this.#options;
    const stretches: Stretch[] = [];
    for (let position = from; position < size; ) {
      const found = this.#calls.nextData(file, position, size);
      if (found === undefined) break;
      if (stretches.length === stretchesMax) return { stretches, rest: found.start };
      stretches.push(found);
      position = found.end;
    }
    const [first] = stretches;
    return first?.start === 0 && first.end === size ? undefined : { stretches, rest: undefined };
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

  /** An archive would have another name, with a part of this one in the value. */
  #xattrsOf(xattrs: Xattrs, path: BytePath): (readonly [string, Uint8Array])[] {
    const { copy, leftOut, shown } = this.#options;
    const copied = xattrs.list().filter(isCopiedXattr).sort();
    const archived = copy === undefined ? copied.filter(isPlainXattr) : copied;
    if (archived.length < copied.length) leftOut?.note(shown(path), 'attribute');
    return archived.flatMap((name) => {
      const value = xattrs.get(name);
      return value === undefined ? [] : [[name, value] as const];
    });
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

function join(directory: BytePath, name: BytePath): BytePath {
  return directory === '' ? name : `${directory}/${name}`;
}
