import { read, write } from 'node:fs';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { isProvisionerError, throwIfAborted } from '../../base/errors.js';
import { checkArgument, path as pathRule } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import { mapUnhurried, Turns } from '../../base/unhurried.js';
import { type BytePath, toBytePath } from '../../system/syscalls/byte-path.js';
import { syscallError } from '../../system/syscalls/syscalls.js';
import { DIRECTORY, type FileStatus, REGULAR_FILE, type TreeCalls } from '../../system/syscalls/tree-calls.js';
import { type HeldPlace, statusOf } from '../bundle/rootfs/rootfs-view.js';
import type { Owner } from './archives/extract-tree.js';
import { LeftOutList, type LeftOutNotes } from './archives/left-out-list.js';
import type {
  ArchiveOptions,
  ContainerFiles,
  Copied,
  CopyOptions,
  ExportOptions,
  ExtractOptions,
  FileContent,
  FileInfo,
  MkdirOptions,
  ReadRange,
  RemoveOptions,
  StatOptions,
  WriteOptions,
} from './container-files.js';
import { type ContainerRoots, machineRoot, type OpenRoot, type OpenRootOptions } from './container-roots.js';
import { below, inSource, isContent, machinePath, parentOf, writtenName } from './copy-place.js';
import type { CopyEnd } from './copy-tree.js';
import { draftName, putDraft, requireNoMount } from './drafts.js';
import { fileInfo, kindOf, sortedNames } from './file-info.js';
import { filesError, wrongKind } from './files-errors.js';
import * as o from './files-options.js';
import { givenPieces } from './given-pieces.js';
import { hold } from './hold-place.js';
import { makeDirectories, makeDirectory } from './make-directories.js';
import { removeEntry } from './remove-entry.js';
import { untilAborted } from './until-aborted.js';

const readAt = promisify(read);
const writeAt = promisify(write);

/** Bytes that are read at once. */
const PIECE = 256 * 1024;
const MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/** The files of one container, whatever it does. */
export class FilesOfContainer implements ContainerFiles {
  readonly #roots: ContainerRoots;
  readonly #calls: TreeCalls;
  readonly #containerId: string;
  readonly #anyOwner: boolean;

  constructor(roots: ContainerRoots, calls: TreeCalls, containerId: string, anyOwner: boolean) {
    this.#roots = roots;
    this.#calls = calls;
    this.#containerId = containerId;
    this.#anyOwner = anyOwner;
  }

  async stat(path: string, options: StatOptions = {}): Promise<FileInfo> {
    const { followLink = false } = takeOptions('files.stat', o.STAT_OPTIONS, options);
    const place = bytesOf('files.stat', path);
    return this.#at('look at', place, {}, { follow: followLink }, ({ directory, name, path: plain, status }) => {
      if (status === undefined) throw syscallError('ENOENT', 'stat', plain);
      return fileInfo(directory, name, status, writtenName(plain) ?? '/');
    });
  }

  async list(path: string): Promise<FileInfo[]> {
    const place = bytesOf('files.list', path);
    return this.#at('list', place, {}, {}, async ({ directory, name, path: plain, status }) => {
      if (status === undefined) throw syscallError('ENOENT', 'open', plain);
      if (name !== '') throw syscallError('ENOTDIR', 'open', plain);
      const infos = await mapUnhurried(sortedNames(directory), (entry) => {
        const found = statusOf(directory, entry);
        return found === undefined ? [] : [fileInfo(directory, entry, found, entry)];
      });
      return infos.flat();
    });
  }

  read(path: string, range: ReadRange = {}): AsyncIterable<Uint8Array> {
    return this.#read(bytesOf('files.read', path), takeOptions('files.read', o.READ_RANGE, range));
  }

  async *#read(path: BytePath, range: ReadRange): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = range;
    const file = await this.#at('read', path, {}, {}, (place, root) => this.#openToRead(place, root));
    try {
      const { start, end } = stretchOf(range, this.#calls.fileStatus(file));
      for (let position = start; position < end; ) {
        throwIfAborted(signal);
        const piece = Buffer.allocUnsafe(Math.min(PIECE, end - position));
        const { bytesRead } = await readAt(file, piece, 0, piece.length, position);
        // It has become shorter.
        if (bytesRead === 0) return;
        position += bytesRead;
        yield piece.subarray(0, bytesRead);
      }
    } finally {
      this.#calls.closeFile(file);
    }
  }

  #openToRead({ directory, name, path, status }: HeldPlace, root: OpenRoot): number {
    if (status === undefined) throw syscallError('ENOENT', 'open', path);
    requireRegular('read', root.shown(path), status);
    return directory.openRegularFile(name);
  }

  async write(path: string, content: FileContent, options: WriteOptions = {}): Promise<void> {
    const place = bytesOf('files.write', path);
    checkArgument('files.write', 'content', o.CONTENT, content);
    const pieces = piecesOf(content);
    const own = takeOptions('files.write', o.WRITE_OPTIONS, options);
    await this.#at('write', place, { write: true }, {}, async (held, root) => {
      const { status } = held;
      if (status !== undefined) requireRegular('write', root.shown(held.path), status);
      else if (place.endsWith('/')) throw syscallError('ENOENT', 'open', held.path);
      await this.#writeFile(held, pieces, own, root);
    });
  }

  async #writeFile(
    { directory, name }: HeldPlace,
    pieces: AsyncIterable<Uint8Array>,
    { mode = MODE, uid, gid, signal }: WriteOptions,
    root: OpenRoot,
  ): Promise<void> {
    const owner = await ownerOf(root, uid, gid);
    const draft = draftName();
    const file = directory.createFile(draft, 0o600);
    try {
      try {
        let position = 0;
        for await (const piece of untilAborted(pieces, signal)) {
          for (let at = 0; at < piece.length; ) {
            const { bytesWritten } = await writeAt(file, piece, at, piece.length - at, position);
            at += bytesWritten;
            position += bytesWritten;
          }
        }
        this.#calls.setFileOwner(file, owner.uid, owner.gid);
        this.#calls.setFileMode(file, mode);
      } finally {
        this.#calls.closeFile(file);
      }
      putDraft(directory, draft, name);
    } catch (error) {
      await removeEntry(directory, draft, new Turns()).catch(() => undefined);
      throw error;
    }
  }

  async mkdir(path: string, options: MkdirOptions = {}): Promise<void> {
    const place = bytesOf('files.mkdir', path);
    const { parents = false, mode = DIRECTORY_MODE, uid, gid } = takeOptions('files.mkdir', o.MKDIR_OPTIONS, options);
    const root = await this.#open({ write: true });
    try {
      const make = parents ? makeDirectories : makeDirectory;
      make(root, place, { mode, ...(await ownerOf(root, uid, gid)) });
    } finally {
      root.close();
    }
  }

  async remove(path: string, options: RemoveOptions = {}): Promise<boolean> {
    const { recursive = false } = takeOptions('files.remove', o.REMOVE_OPTIONS, options);
    const place = bytesOf('files.remove', path);
    try {
      return await this.#remove(place, recursive);
    } catch (error) {
      // Nor is a directory that it could be in.
      if (isProvisionerError(error, 'ERR_FILE_NOT_FOUND')) return false;
      throw error;
    }
  }

  #remove(path: BytePath, recursive: boolean): Promise<boolean> {
    return this.#at('remove', path, { write: true }, { follow: false }, async (held, root) => {
      if (held.status === undefined) return false;
      const name = writtenName(held.path);
      if (name === undefined) throw wrongKind('remove', root.shown(held.path), 'it is the root of the container');
      // Of a directory that is held, the name is in the one above it.
      const above = held.name === '' ? root.view.hold(parentOf(held.path)) : undefined;
      const directory = above?.directory ?? held.directory;
      try {
        if (!recursive) requireNoMount(directory, name);
        if (recursive) await removeEntry(directory, name, new Turns());
        else if (held.status.type === DIRECTORY) directory.removeDirectory(name);
        else directory.removeFile(name);
        return true;
      } finally {
        above?.directory.close();
      }
    });
  }

  archive(path: string, options: ArchiveOptions = {}): AsyncIterable<Uint8Array> {
    const own = takeOptions('files.archive', o.ARCHIVE_OPTIONS, options);
    return this.#archive(bytesOf('files.archive', path), own);
  }

  async *#archive(
    path: BytePath,
    { followLink = false, onLeftOut, signal }: ArchiveOptions,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const root = await this.#open({});
    try {
      const place = hold(root, 'read', path, { follow: followLink });
      try {
        if (place.status === undefined)
          throw filesError(syscallError('ENOENT', 'open'), 'read', root.shown(place.path));
        const as = isContent(path) ? '' : (writtenName(path) ?? writtenName(place.path) ?? '');
        const { archiveTree } = await import('./archives/archive-tree.js');
        const shown = (entry: BytePath) => root.shown(inSource(place.path, as, entry));
        yield* archiveTree(this.#calls, place, { as, shown, leftOut: notesOf(onLeftOut), signal });
      } finally {
        place.directory.close();
      }
    } finally {
      root.close();
    }
  }

  export(options: ExportOptions = {}): AsyncIterable<Uint8Array> {
    return this.#export(takeOptions('files.export', o.EXPORT_OPTIONS, options));
  }

  async *#export({ onLeftOut, signal }: ExportOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const root = await this.#open({ withoutMounts: true });
    try {
      const place = root.view.hold('/');
      try {
        const { archiveTree } = await import('./archives/archive-tree.js');
        const shown = (entry: BytePath) => root.shown(`/${entry}`);
        const leftOut = notesOf(onLeftOut);
        yield* archiveTree(this.#calls, place, { as: '', shown, withoutMounts: true, leftOut, signal });
      } finally {
        place.directory.close();
      }
    } finally {
      root.close();
    }
  }

  async extract(path: string, archive: AsyncIterable<Uint8Array>, options: ExtractOptions = {}): Promise<Copied> {
    const place = bytesOf('files.extract', path);
    checkArgument('files.extract', 'archive', o.ARCHIVE, archive);
    const given = givenPieces(archive, 'the archive', { texts: false });
    const { owner, signal } = takeOptions('files.extract', o.EXTRACT_OPTIONS, options);
    return this.#at('write', place, { write: true }, {}, async (held, root) => {
      if (held.status === undefined) throw syscallError('ENOENT', 'open', held.path);
      if (held.name !== '') throw syscallError('ENOTDIR', 'open', held.path);
      const { extractTree } = await import('./archives/extract-tree.js');
      const { inflatedArchive } = await import('./archives/inflated-archive.js');
      const plain = inflatedArchive(untilAborted(given, signal), signal);
      return extractTree(this.#calls, held.directory, plain, {
        owner: owner === 'user' ? await root.user() : undefined,
        leftOut: new LeftOutList(),
        shown: (entry) => root.shown(below(held.path, entry)),
        signal,
      });
    });
  }

  async copyIn(from: string, to: string, options: CopyOptions = {}): Promise<Copied> {
    const source = machinePath(bytesOf('files.copyIn', from));
    const target = bytesOf('files.copyIn', to);
    const { followLink = false, ...own } = takeOptions('files.copyIn', o.COPY_OPTIONS, options);
    return this.#between({ write: true }, (inside, outside) =>
      this.#copy({ root: outside, path: source, followLink }, { root: inside, path: target, followLink: true }, own),
    );
  }

  async copyOut(from: string, to: string, options: CopyOptions = {}): Promise<Copied> {
    const source = bytesOf('files.copyOut', from);
    const target = machinePath(bytesOf('files.copyOut', to));
    const { followLink = false, ...own } = takeOptions('files.copyOut', o.COPY_OPTIONS, options);
    // A symlink there may be one that the container made, and that was copied out before.
    return this.#between({}, (inside, outside) =>
      this.#copy({ root: inside, path: source, followLink }, { root: outside, path: target, followLink: false }, own),
    );
  }

  /** Loaded here: most who look at containers copy nothing. */
  async #copy(from: CopyEnd, to: CopyEnd, options: Omit<CopyOptions, 'followLink'>): Promise<Copied> {
    const { copyTree } = await import('./copy-tree.js');
    return copyTree(this.#calls, from, to, options);
  }

  async #between<T>(how: OpenRootOptions, work: (inside: OpenRoot, outside: OpenRoot) => Promise<T>): Promise<T> {
    const inside = await this.#open(how);
    try {
      const outside = machineRoot(this.#calls);
      try {
        return await work(inside, outside);
      } finally {
        outside.close();
      }
    } finally {
      inside.close();
    }
  }

  #open(how: OpenRootOptions): Promise<OpenRoot> {
    return this.#roots.open(this.#containerId, { ...how, anyOwner: this.#anyOwner });
  }

  /** Does work at a path, which is held meanwhile. What goes wrong is told of the path. */
  async #at<T>(
    action: string,
    path: BytePath,
    how: OpenRootOptions,
    holding: { readonly follow?: boolean },
    work: (place: HeldPlace, root: OpenRoot) => T | Promise<T>,
  ): Promise<T> {
    const root = await this.#open(how);
    try {
      const place = hold(root, action, path, holding);
      try {
        return await work(place, root);
      } catch (error) {
        throw filesError(error, action, root.shown(place.path));
      } finally {
        place.directory.close();
      }
    } finally {
      root.close();
    }
  }
}

function notesOf(listener: ExportOptions['onLeftOut']): LeftOutNotes | undefined {
  return listener === undefined ? undefined : { note: (path, what) => listener({ path, what }) };
}

function requireRegular(action: string, shown: string, { type }: FileStatus): void {
  if (type !== REGULAR_FILE) throw wrongKind(action, shown, `it is no regular file: ${kindOf(type)}`);
}

function stretchOf({ start = 0, length, last }: ReadRange, { size }: FileStatus): { start: number; end: number } {
  if (last !== undefined) return { start: Math.max(0, size - last), end: size };
  return { start, end: length === undefined ? size : Math.min(size, start + length) };
}

function piecesOf(content: FileContent): AsyncIterable<Uint8Array> {
  const isWhole = typeof content === 'string' || content instanceof Uint8Array;
  return givenPieces(isWhole ? Readable.from([content]) : content, 'the content', { texts: true });
}

async function ownerOf(root: OpenRoot, uid: number | undefined, gid: number | undefined): Promise<Owner> {
  if (uid !== undefined && gid !== undefined) return { uid, gid };
  const user = await root.user();
  return { uid: uid ?? user.uid, gid: gid ?? user.gid };
}

function bytesOf(call: string, path: string): BytePath {
  checkArgument(call, 'path', pathRule, path);
  return toBytePath(path);
}
