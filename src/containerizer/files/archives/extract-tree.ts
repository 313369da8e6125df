import { ftruncateSync, writeSync } from 'node:fs';
import { isProvisionerError, systemCode, throwIfAborted } from '../../../base/errors.js';
import { Turns } from '../../../base/unhurried.js';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
import {
  BLOCK_DEVICE,
  CHARACTER_DEVICE,
  DIRECTORY,
  FIFO,
  type FileType,
  type OpenDirectory,
  type TreeCalls,
  type Xattrs,
} from '../../../system/syscalls/tree-calls.js';
import type { TarEntry } from '../../../system/tar/tar-entry.js';
import { type TarHandler, TarReader } from '../../../system/tar/tar-reader.js';
import { statusOf } from '../../bundle/rootfs/rootfs-view.js';
import type { Copied } from '../container-files.js';
import { draftName, putDraft } from '../drafts.js';
import { archiveRefused, changed, filesError, LEVELS_MAX } from '../files-errors.js';
import { isMadeUp } from '../kernel-file-systems.js';
import { removeEntry } from '../remove-entry.js';
import { untilAborted } from '../until-aborted.js';
import { CAPABILITY, isCopiedXattr } from './archive-tree.js';
import type { LeftOutList } from './left-out-list.js';
import { type LateAttributes, MadeDirectories } from './made-directories.js';
import type { SharedCopy } from './shared-copy.js';

/** Bytes after which others get a turn: of the smallest entries some hundred. */
const SLICE = 64 * 1024;
const SETUID_AND_SETGID = 0o6000;
const PERMISSIONS = 0o7777;
/** Of a directory that the archive only implies. */
const IMPLIED_MODE = 0o755;
const TYPE_BITS: Readonly<Record<string, FileType>> = { character: CHARACTER_DEVICE, block: BLOCK_DEVICE };
/** The codes in which the reader tells that an archive is none. */
const NO_ARCHIVE = ['ERR_LAYER_MALFORMED', 'ERR_LAYER_TRUNCATED', 'ERR_LIMIT_EXCEEDED'] as const;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface ExtractTreeOptions {
  /** Whose all becomes, without setuid, setgid and capabilities. Default: as the archive says, with them. */
  readonly owner?: Owner | undefined;
  /** How messages call a path of the archive. */
  readonly shown: (path: BytePath) => string;
  /** What is left out is noted here; who makes the archive may do so too. */
  readonly leftOut: LeftOutList;
  /** Of an archive that is made while it is unpacked. */
  readonly copy?: SharedCopy;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Unpacks an archive into a directory that is held, while it is read. Whoever made the archive may mean harm, and so may a program that changes the directory meanwhile: all goes by way of open
 * directories and names in them, and no symlink is followed. What fails leaves nothing under a new name.
 * @throws ProvisionerError `ERR_ARCHIVE_REFUSED`, `ERR_FILE_CHANGED`, `ERR_ABORTED`, and what the system says
 */
export async function extractTree(
  calls: TreeCalls,
  target: OpenDirectory,
  archive: AsyncIterable<Uint8Array>,
  options: ExtractTreeOptions,
): Promise<Copied> {
  const turns = new Turns();
  const extraction = new TreeExtraction(calls, target, options);
  const reader = new TarReader(extraction);
  try {
    let isEmpty = true;
    for await (const piece of untilAborted(archive, options.signal)) {
      for (let at = 0; at < piece.length; at += SLICE) {
        throwIfAborted(options.signal);
        const end = Math.min(at + SLICE, piece.length);
        reader.push(Buffer.from(piece.buffer, piece.byteOffset + at, end - at));
        await turns.take();
      }
      isEmpty &&= piece.length === 0;
    }
    if (isEmpty) throw archiveRefused('it is empty');
    reader.end();
    return await extraction.finish(turns);
  } catch (error) {
    await extraction.undo(turns);
    if (isProvisionerError(error, ...NO_ARCHIVE))
      throw archiveRefused(String(error.details['problem']), undefined, error);
    throw error;
  } finally {
    extraction.close();
  }
}

interface Level {
  readonly name: BytePath;
  readonly directory: OpenDirectory;
}

/** A file that is being written. */
interface Draft {
  readonly parent: OpenDirectory;
  readonly draft: BytePath;
  readonly name: BytePath;
  readonly file: number;
  readonly entry: TarEntry;
  /** Where the next bytes go; of a file with holes in the stretch of that number. */
  position: number;
  stretch: number;
}

class TreeExtraction implements TarHandler {
  readonly #calls: TreeCalls;
  readonly #target: OpenDirectory;
  readonly #options: ExtractTreeOptions;
  /** The open directories from the target, which is none of them, to where the last entry is. */
  #levels: Level[] = [];
  /** Names at the top that were not there, and what they are called until all has been read. */
  readonly #staged = new Map<BytePath, BytePath>();
  /** Directories that were made, and what the archive says of them. */
  readonly #made = new MadeDirectories();
  #draft: Draft | undefined;
  #entries = 0;
  #bytes = 0;

  constructor(calls: TreeCalls, target: OpenDirectory, options: ExtractTreeOptions) {
    this.#calls = calls;
    this.#target = target;
    this.#options = options;
  }

  entry(entry: TarEntry): void {
    if (this.#draft !== undefined) {
      // The rest of a file with holes.
      this.#draft = { ...this.#draft, entry, position: 0, stretch: 0 };
      return;
    }
    const names = namesOf(entry.path);
    const name = names.pop();
    // The target itself, which stays as it is.
    if (name === undefined) return;
    this.#entries++;
    this.#about(entry.path, () => {
      const parent = this.#enter(names, entry.path);
      const own = names.length === 0 ? this.#nameAtTop(name) : name;
      if (entry.type === 'directory') this.#makeDirectory(parent, own, [...names, name], entry);
      else this.#make(parent, own, entry);
    });
  }

  data(chunk: Buffer, start: number, end: number): void {
    const draft = this.#draft;
    if (draft === undefined) return;
    this.#about(draft.entry.path, () => {
      const segments = draft.entry.sparse?.segments;
      for (let at = start; at < end; ) {
        let room = end - at;
        if (segments !== undefined) {
          let segment = segments[draft.stretch];
          while (segment !== undefined && draft.position >= segment.offset + segment.length)
            segment = segments[++draft.stretch];
          if (segment === undefined) return;
          draft.position = Math.max(draft.position, segment.offset);
          room = Math.min(room, segment.offset + segment.length - draft.position);
        }
        const written = writeSync(draft.file, chunk, at, room, draft.position);
        at += written;
        draft.position += written;
        this.#bytes += written;
      }
    });
  }

  endEntry(): void {
    const draft = this.#draft;
    if (draft === undefined || this.#options.copy?.isContinued === true) return;
    const { parent, draft: called, name, file, entry } = draft;
    this.#about(entry.path, () => {
      if (entry.sparse !== undefined) ftruncateSync(file, entry.sparse.size);
      const { uid, gid } = this.#ownerOf(entry);
      this.#calls.setFileOwner(file, uid, gid);
      this.#calls.setFileMode(file, this.#modeOf(entry));
      this.#setXattrs(this.#calls.fileXattrs(file), entry);
      this.#calls.setFileTimes(file, entry.accessed, entry.modified);
      this.#put(parent, called, name);
      this.#draft = undefined;
      this.#calls.closeFile(file);
    });
  }

  /** The archive has been read: gives directories what the archive says of them, and what is new its name. */
  async finish(turns: Turns): Promise<Copied> {
    for (const [names, { attributes }] of this.#made.all()) {
      await turns.take();
      const path = names.join('/');
      this.#about(path, () => this.#finishDirectory(this.#enter(names, path), attributes));
    }
    for (const [name, draft] of this.#staged) {
      this.#about(name, () => {
        // One whose only entry was left out is not there.
        if (statusOf(this.#target, draft) !== undefined) this.#put(this.#target, draft, name);
      });
      this.#staged.delete(name);
    }
    return { entries: this.#entries, bytes: this.#bytes, leftOut: this.#options.leftOut.first };
  }

  /** What cannot be taken away stays, under a name that tells: the error that brought us here says more. */
  async undo(turns: Turns): Promise<void> {
    const drafts = [...this.#staged.values()].map((draft) => ({ parent: this.#target, draft }));
    if (this.#draft !== undefined) drafts.unshift(this.#draft);
    for (const { parent, draft } of drafts) await removeEntry(parent, draft, turns).catch(() => undefined);
  }

  close(): void {
    if (this.#draft !== undefined) this.#calls.closeFile(this.#draft.file);
    this.#draft = undefined;
    this.#leave(0);
  }

  /** The directory at the end of a way down from the target; what the archive only implies is made. */
  #enter(names: readonly BytePath[], path: BytePath): OpenDirectory {
    if (names.length >= LEVELS_MAX) throw archiveRefused(`it is nested deeper than ${LEVELS_MAX} directories`, path);
    let level = 0;
    while (level < names.length && this.#levels[level]?.name === names[level]) level++;
    this.#leave(level);
    let directory = this.#levels.at(-1)?.directory ?? this.#target;
    for (const [index, name] of names.entries()) {
      if (index < level) continue;
      const own = index === 0 ? this.#nameAtTop(name) : name;
      const status = statusOf(directory, own);
      if (status === undefined) this.#makeDirectory(directory, own, names.slice(0, index + 1), undefined);
      else if (status.type !== DIRECTORY)
        throw archiveRefused('the way there leads over a symlink, or through what is no directory', path);
      const inside = directory.openDirectory(own);
      this.#levels.push({ name, directory: inside });
      if (isMadeUp(inside)) throw archiveRefused('it would be written into a file system of the kernel', path);
      directory = inside;
    }
    return directory;
  }

  #leave(level: number): void {
    for (const { directory } of this.#levels.splice(level)) directory.close();
  }

  #nameAtTop(name: BytePath): BytePath {
    const staged = this.#staged.get(name);
    if (staged !== undefined) return staged;
    if (statusOf(this.#target, name) !== undefined) return name;
    const draft = this.#newDraft();
    this.#staged.set(name, draft);
    return draft;
  }

  #newDraft(): BytePath {
    const draft = draftName();
    this.#options.copy?.drafts.add(draft);
    return draft;
  }

  #put(directory: OpenDirectory, draft: BytePath, name: BytePath): void {
    putDraft(directory, draft, name);
    this.#options.copy?.drafts.delete(draft);
  }

  #makeDirectory(parent: OpenDirectory, name: BytePath, names: readonly BytePath[], entry: TarEntry | undefined): void {
    const isNew = parent.makeDirectory(name);
    if (!isNew && parent.status(name).type !== DIRECTORY)
      throw archiveRefused('it is a directory, and something else is there', entry?.path ?? names.join('/'));
    const made = this.#made.at(names, isNew);
    if (made === undefined || entry === undefined) return;
    const { accessed, modified, xattrs } = entry;
    const { uid, gid } = this.#ownerOf(entry);
    made.attributes = { uid, gid, mode: this.#modeOf(entry), accessed, modified };
    if (xattrs === undefined) return;
    const directory = parent.openDirectory(name);
    try {
      this.#setXattrs(directory.xattrs(''), entry);
    } finally {
      directory.close();
    }
  }

  /** Under another name first: what is there is replaced in one step. */
  #make(parent: OpenDirectory, name: BytePath, entry: TarEntry): void {
    if (statusOf(parent, name)?.type === DIRECTORY)
      throw archiveRefused('it is no directory, and one is there', entry.path);
    const draft = this.#newDraft();
    if (entry.type === 'file') {
      const file = parent.createFile(draft, 0o600);
      this.#draft = { parent, draft, name, file, entry, position: 0, stretch: 0 };
      return;
    }
    try {
      if (entry.type === 'hardlink') this.#link(parent, draft, entry);
      else this.#makeNode(parent, draft, entry);
      this.#put(parent, draft, name);
    } finally {
      // Also where all went well: a rename on another name of the same file does nothing.
      if (statusOf(parent, draft) !== undefined) parent.removeFile(draft);
    }
  }

  /** Of a file that the archive has had, or that was there; never by way of a symlink. */
  #link(parent: OpenDirectory, draft: BytePath, entry: TarEntry): void {
    const names = namesOf(entry.linkPath);
    const name = names.pop();
    if (name === undefined) throw archiveRefused('it is a hard link to a directory', entry.path);
    const opened: OpenDirectory[] = [];
    try {
      let directory = this.#target;
      for (const [index, step] of names.entries()) {
        directory = directory.openDirectory((index === 0 ? this.#staged.get(step) : undefined) ?? step);
        opened.push(directory);
      }
      const existing = (names.length === 0 ? this.#staged.get(name) : undefined) ?? name;
      parent.makeHardLink(directory, existing, draft);
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'EPERM', 'EXDEV'].includes(code)) throw error;
      throw archiveRefused(
        'it is a hard link to what is not there, or cannot be reached without a symlink',
        entry.path,
        error,
      );
    } finally {
      for (const directory of opened) directory.close();
    }
  }

  /** A symlink, a FIFO or a device. */
  #makeNode(parent: OpenDirectory, draft: BytePath, entry: TarEntry): void {
    if (entry.type === 'symlink') parent.makeSymlink(entry.linkPath, draft);
    else parent.makeNode(draft, (TYPE_BITS[entry.type] ?? FIFO) | 0o600, entry.device);
    const { uid, gid } = this.#ownerOf(entry);
    parent.setOwner(draft, uid, gid);
    if (entry.type !== 'symlink') parent.setNodeMode(draft, this.#modeOf(entry));
    parent.setTimes(draft, entry.accessed, entry.modified);
  }

  #finishDirectory(directory: OpenDirectory, attributes: LateAttributes | undefined): void {
    if (attributes === undefined) {
      const { owner } = this.#options;
      if (owner !== undefined) directory.setOwner('', owner.uid, owner.gid);
      directory.setMode('', IMPLIED_MODE);
      return;
    }
    directory.setOwner('', attributes.uid, attributes.gid);
    directory.setMode('', attributes.mode);
    directory.setTimes('', attributes.accessed, attributes.modified);
  }

  #ownerOf(entry: TarEntry): Owner {
    return this.#options.owner ?? entry;
  }

  #modeOf({ mode }: TarEntry): number {
    return mode & (this.#options.owner === undefined ? PERMISSIONS : PERMISSIONS & ~SETUID_AND_SETGID);
  }

  #setXattrs(xattrs: Xattrs, { xattrs: wanted, path }: TarEntry): void {
    for (const [name, value] of wanted ?? []) {
      if (!isCopiedXattr(name) || (name === CAPABILITY && this.#options.owner !== undefined)) continue;
      try {
        xattrs.set(name, value);
      } catch (error) {
        // The file system has no such attributes, or not so large ones.
        if (!['ENOTSUP', 'EPERM', 'E2BIG', 'ERANGE'].includes(systemCode(error) ?? '')) throw error;
        this.#options.leftOut.note(this.#options.shown(path), 'attribute');
      }
    }
  }

  /** Has a failure tell which entry it is about. */
  #about(path: BytePath, work: () => void): void {
    try {
      work();
    } catch (error) {
      const code = systemCode(error) ?? '';
      const shown = this.#options.shown(path);
      if (code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENOENT')
        throw changed(
          'write',
          shown,
          'something else has taken its place, or that of a directory above it, meanwhile',
          error,
        );
      if (code === 'ENAMETOOLONG') throw archiveRefused('its name is too long', path, error);
      throw filesError(error, 'write', shown);
    }
  }
}

/** @throws ProvisionerError `ERR_ARCHIVE_REFUSED` for a path that leads out by `..`; an absolute one means the same as a relative one */
function namesOf(path: BytePath): BytePath[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw archiveRefused('its name leads out with ".."', path);
  return names;
}
