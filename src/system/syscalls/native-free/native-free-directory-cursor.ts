import { type Dir, type Dirent, opendirSync } from 'node:fs';
import { type BytePath, nodePath } from '../byte-path.js';
import {
  BLOCK_DEVICE,
  CHARACTER_DEVICE,
  DIRECTORY,
  type DirectoryCursor,
  FIFO,
  type FileType,
  type FileUsage,
  type OpenDirectory,
  REGULAR_FILE,
  SOCKET,
  SYMLINK,
} from '../tree-calls.js';

/** Entries that are read at a time: a walk has a cursor open in each directory on its way. */
const ENTRIES_AT_ONCE = 256;

/** Plain Node knows no positions in a directory, so they are numbers of entries, and whoever begins at one goes past those. */
export class NativeFreeDirectoryCursor implements DirectoryCursor {
  readonly #directory: OpenDirectory;
  readonly #entries: Dir;
  #entry: Dirent<Buffer> | undefined;
  #count = 0;
  #closed = false;

  /** @param path of `directory` */
  constructor(directory: OpenDirectory, path: BytePath, position: number) {
    this.#directory = directory;
    // Its names are what `encoding` says; the types of Node know texts only.
    const options = { encoding: 'buffer' as BufferEncoding, bufferSize: ENTRIES_AT_ONCE };
    this.#entries = opendirSync(nodePath(path), options);
    while (this.#count < position && this.next());
  }

  next(): boolean {
    if (this.#closed) return false;
    this.#entry = (this.#entries.readSync() as Dirent<Buffer> | null) ?? undefined;
    if (this.#entry === undefined) return false;
    this.#count++;
    return true;
  }
  get type(): FileType | undefined {
    return direntType(this.#current);
  }
  get name(): BytePath {
    return this.#current.name.toString('latin1');
  }
  get inode(): undefined {
    return undefined;
  }
  get before(): bigint {
    return 0n;
  }
  get after(): bigint {
    return BigInt(this.#count);
  }
  usage(): FileUsage {
    return this.#directory.usage(this.name);
  }
  removeFile(): void {
    this.#directory.removeFile(this.name);
  }
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#entries.closeSync();
  }

  get #current(): Dirent<Buffer> {
    if (this.#entry === undefined) throw new Error('the cursor stands on no entry');
    return this.#entry;
  }
}

/** Undefined where the file system leaves the type out. */
function direntType(entry: Dirent<Buffer>): FileType | undefined {
  if (entry.isFile()) return REGULAR_FILE;
  if (entry.isDirectory()) return DIRECTORY;
  if (entry.isSymbolicLink()) return SYMLINK;
  if (entry.isFIFO()) return FIFO;
  if (entry.isCharacterDevice()) return CHARACTER_DEVICE;
  if (entry.isBlockDevice()) return BLOCK_DEVICE;
  return entry.isSocket() ? SOCKET : undefined;
}
