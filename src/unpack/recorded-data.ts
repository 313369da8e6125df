import { readSync } from 'node:fs';
import { systemCode } from '../base/errors.js';
import type { TarRecorder } from '../files/tar-record/tar-recorder.js';
import { Descent } from '../files/tree/descent.js';
import type { Inode } from '../files/tree/inode-set.js';
import type { BytePath } from '../system/syscalls/byte-path.js';
import {
  DIRECTORY,
  type FileStatus,
  type OpenDirectory,
  REGULAR_FILE,
  type TreeCalls,
} from '../system/syscalls/tree-calls.js';
import type { SparseMap } from '../system/tar/sparse.js';
import { nameOf, parentOf } from './entry-path.js';
import type { KeptData } from './layer-writer.js';

const OWNER_MAY_READ = 0o400;
/** Nothing is there that could be removed. */
const NOT_THERE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);
const PIECE = 256 * 1024;

type PlaceOf = (file: Inode) => number | undefined;

/** Has a layer's tar record keep the data that goes by without becoming a file, and that of files which the archive itself writes over. */
export class RecordedData implements KeptData {
  readonly #recorder: TarRecorder;
  readonly #calls: TreeCalls;
  readonly #root: OpenDirectory;
  readonly #piece = Buffer.allocUnsafeSlow(PIECE);

  /** @param rootfs of the layer, absolute. Nobody but the layer's writer changes it, and all directories in it are open to its owner */
  constructor(recorder: TarRecorder, rootfs: string, calls: TreeCalls) {
    this.#recorder = recorder;
    this.#calls = calls;
    this.#root = calls.openDirectory(rootfs);
  }

  payload(path: BytePath, length: number, segments: SparseMap['segments'] | undefined): number {
    return this.#recorder.payload(path, length, segments);
  }

  kept(chunk: Buffer, start: number, end: number): void {
    this.#recorder.kept(chunk, start, end);
  }

  removing(path: BytePath, placeOf: PlaceOf): void {
    const parent = presentOrNot(() => this.#root.openDirectory(parentOf(path)));
    if (parent === undefined) return;
    try {
      const name = nameOf(path);
      const status = presentOrNot(() => parent.status(name));
      if (status?.type === DIRECTORY) this.#tree(parent.openDirectory(name), placeOf);
      else if (status !== undefined) this.#file(parent, name, status, placeOf);
    } finally {
      parent.close();
    }
  }

  close(): void {
    this.#root.close();
  }

  #tree(root: OpenDirectory, placeOf: PlaceOf): void {
    const descent = new Descent('after');
    try {
      descent.enter('', root);
      while (descent.depth > 0) {
        const entry = descent.next();
        if (entry === undefined) {
          descent.leave();
          continue;
        }
        const { directory } = descent;
        const status = directory.status(entry.name);
        if (status.type === DIRECTORY) descent.enter(entry.name, directory.openDirectory(entry.name));
        else this.#file(directory, entry.name, status, placeOf);
      }
    } finally {
      descent.close();
    }
  }

  #file(directory: OpenDirectory, name: BytePath, status: FileStatus, placeOf: PlaceOf): void {
    if (status.type !== REGULAR_FILE || status.size === 0) return;
    const place = placeOf(status);
    // Some file systems in user space give a file another number when they have not been asked for it for a while.
    if (place === undefined) this.#recorder.giveUp();
    if (place === undefined || place === 0 || !this.#recorder.wants(place - 1)) return;
    const payload = place - 1;
    const descriptor = openFile(directory, name, status);
    try {
      const segments = this.#recorder.segmentsOf(payload) ?? [{ offset: 0, length: status.size }];
      this.#recorder.lose(payload, this.#pieces(descriptor, segments));
    } finally {
      this.#calls.closeFile(descriptor);
    }
  }

  *#pieces(descriptor: number, segments: SparseMap['segments']): Generator<Buffer, void, undefined> {
    for (const { offset, length } of segments) {
      for (let done = 0; done < length; ) {
        const count = readSync(descriptor, this.#piece, 0, Math.min(PIECE, length - done), offset + done);
        // Nobody else writes here.
        if (count === 0) throw new Error('a file of the layer is shorter than it was written');
        yield this.#piece.subarray(0, count);
        done += count;
      }
    }
  }
}

/** Also one that is closed to its owner, and stays so: only this name of it is about to go. */
function openFile(directory: OpenDirectory, name: BytePath, { mode }: FileStatus): number {
  try {
    return directory.openFile(name);
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error;
    directory.setMode(name, mode | OWNER_MAY_READ);
    try {
      return directory.openFile(name);
    } finally {
      directory.setMode(name, mode);
    }
  }
}

function presentOrNot<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (NOT_THERE.has(systemCode(error) ?? '')) return undefined;
    throw error;
  }
}
