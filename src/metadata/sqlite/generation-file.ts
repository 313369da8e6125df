import { closeSync, constants, fstatSync, fsyncSync, lstatSync, readSync, writeSync } from 'node:fs';
import { fileError, systemCode } from '../../base/errors.js';
import { type FileIdentity, isSameFile } from '../../base/file-identity.js';
import { openOwnFile } from '../../system/syscalls/open-own-file.js';

/** How far some records have come. */
export interface Generation {
  /** Which records: an id that they got when they began, and get anew when they turn out to be older than the store. */
  readonly recordsId: string;
  /** Grows with each commit of something that it would hurt to lose. */
  readonly generation: number;
}

/** One page, so that a write of all of it is seen whole. */
const SIZE = 4096;
/** Hex digits of the id. */
const ID_LENGTH = 32;
const SLOT_SIZE = 8;
const MAYBE = { bigint: true, throwIfNoEntry: false } as const;
/** EPERM: it is immutable. */
const READ_ONLY = new Set(['EROFS', 'EACCES', 'EPERM']);
const SLOTS = (SIZE - ID_LENGTH) / SLOT_SIZE;

/**
 * Says beside the records how far they have come, for records that are put back from a backup know nothing of what came after it. It is written after each
 * commit that counts, and before anybody is told of that commit, so it never says more than what the records have had.
 *
 *   0        32       40                4096
 *   ┌────────┬────────┬────────┬─  ─┬────────┐
 *   │ id     │ slot 0 │ slot 1 │ …  │ slot n │    each a little-endian double; the largest counts
 *   └────────┴────────┴────────┴─  ─┴────────┘
 *
 * Each generation has a slot of its own, in turn: of several processes one may be held up between its commit and its note, and must not take away what
 * a later one has noted meanwhile. Costs a provision one write of 8 bytes, which nobody waits for on the disk: after a power cut the file may lag behind the
 * records, and that tells of nothing.
 */
export class GenerationFile {
  readonly #path: string;
  /** Open for writing. */
  #noting: { readonly descriptor: number; readonly file: FileIdentity } | undefined;
  readonly #slot = Buffer.alloc(SLOT_SIZE);

  constructor(path: string) {
    this.#path = path;
  }

  /** @returns undefined when it is not there, was never finished, or holds what cannot be @throws ProvisionerError as `openOwnFile`, `ERR_IO` */
  read(): Generation | undefined {
    return this.#told('read how far the records have come', () => {
      const page = Buffer.alloc(SIZE);
      const descriptor = openOrNone(this.#path, constants.O_RDONLY);
      if (descriptor === undefined) return undefined;
      try {
        if (readSync(descriptor, page, 0, SIZE, 0) < SIZE) return undefined;
      } finally {
        closeSync(descriptor);
      }
      let generation = 0;
      for (let at = ID_LENGTH; at < SIZE; at += SLOT_SIZE) {
        const slot = page.readDoubleLE(at);
        // Nobody wrote that: it vouches for nothing any more.
        if (!Number.isSafeInteger(slot) || slot < 0) return undefined;
        generation = Math.max(generation, slot);
      }
      return { recordsId: page.toString('latin1', 0, ID_LENGTH), generation };
    });
  }

  /** Writes it anew, making it when it is not there. @param durable whether it reaches the disk now @throws ProvisionerError `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO` */
  begin({ recordsId, generation }: Generation, durable: boolean): void {
    this.#told('note how far the records have come', () => {
      const page = Buffer.alloc(SIZE);
      page.write(recordsId, 'latin1');
      page.writeDoubleLE(generation, slotOf(generation));
      const descriptor = openOwnFile(this.#path, constants.O_RDWR | constants.O_CREAT);
      try {
        writeSync(descriptor, page, 0, SIZE, 0);
        if (durable) fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
    });
  }

  /**
   * Notes a commit. Does nothing where there is no file, which the next one who opens the store finds out, and where it can only be read: then it lags behind the records, which tells of
   * nothing. One that has been deleted, moved away or replaced meanwhile is let go of: what is there now counts. @throws ProvisionerError `ERR_NO_SPACE`, `ERR_IO`
   */
  note(generation: number): void {
    this.#told('note how far the records have come', () => {
      if (this.#noting !== undefined && !isSameFile(lstatSync(this.#path, MAYBE), this.#noting.file)) this.close();
      this.#noting ??= this.#open();
      if (this.#noting === undefined) return;
      this.#slot.writeDoubleLE(generation);
      writeSync(this.#noting.descriptor, this.#slot, 0, SLOT_SIZE, slotOf(generation));
    });
  }

  close(): void {
    if (this.#noting !== undefined) closeSync(this.#noting.descriptor);
    this.#noting = undefined;
  }

  #open(): { readonly descriptor: number; readonly file: FileIdentity } | undefined {
    const descriptor = openOrNone(this.#path, constants.O_RDWR);
    return descriptor === undefined ? undefined : { descriptor, file: fstatSync(descriptor, { bigint: true }) };
  }

  #told<T>(action: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw fileError(error, action, this.#path);
    }
  }
}

/** @returns undefined when it is not there, or, to be written, can only be read */
function openOrNone(path: string, flags: number): number | undefined {
  try {
    return openOwnFile(path, flags);
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'ENOENT' || (flags === constants.O_RDWR && READ_ONLY.has(code))) return undefined;
    throw error;
  }
}

function slotOf(generation: number): number {
  return ID_LENGTH + (generation % SLOTS) * SLOT_SIZE;
}
