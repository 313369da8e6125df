import { closeSync, constants, fsyncSync, readSync, writeSync } from 'node:fs';
import { fileError, systemCode } from '../errors.js';
import { openOwnFile } from '../syscalls/open-own-file.js';

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
  #descriptor: number | undefined;
  readonly #slot = Buffer.alloc(SLOT_SIZE);

  constructor(path: string) {
    this.#path = path;
  }

  /** @returns undefined when it is not there, or was never finished @throws ProvisionerError as `openOwnFile`, `ERR_IO` */
  read(): Generation | undefined {
    return this.#told('read how far the records have come', () => {
      if (!this.#open(constants.O_RDWR) && !this.#open(constants.O_RDONLY)) return undefined;
      const page = Buffer.alloc(SIZE);
      if (readSync(this.#descriptor as number, page, 0, SIZE, 0) < SIZE) return undefined;
      let generation = 0;
      for (let at = ID_LENGTH; at < SIZE; at += SLOT_SIZE) generation = Math.max(generation, page.readDoubleLE(at));
      return { recordsId: page.toString('latin1', 0, ID_LENGTH), generation };
    });
  }

  /** Writes it anew, making it when it is not there. @param durable whether it reaches the disk now @throws ProvisionerError `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO` */
  begin({ recordsId, generation }: Generation, durable: boolean): void {
    this.#told('note how far the records have come', () => {
      const page = Buffer.alloc(SIZE);
      page.write(recordsId, 'latin1');
      page.writeDoubleLE(generation, slotOf(generation));
      this.close();
      this.#open(constants.O_RDWR | constants.O_CREAT);
      writeSync(this.#descriptor as number, page, 0, SIZE, 0);
      if (durable) fsyncSync(this.#descriptor as number);
    });
  }

  /** Notes a commit. Does nothing where there is no file, which the next one who opens the store finds out. @throws ProvisionerError `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO` */
  note(generation: number): void {
    this.#told('note how far the records have come', () => {
      if (!this.#open(constants.O_RDWR)) return;
      this.#slot.writeDoubleLE(generation);
      writeSync(this.#descriptor as number, this.#slot, 0, SLOT_SIZE, slotOf(generation));
    });
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** @returns false when it is not there, or may not be opened so */
  #open(flags: number): boolean {
    try {
      this.#descriptor ??= openOwnFile(this.#path, flags);
      return true;
    } catch (error) {
      const isReadOnly = ['EROFS', 'EACCES'].includes(systemCode(error) ?? '') && flags === constants.O_RDWR;
      if (systemCode(error) === 'ENOENT' || isReadOnly) return false;
      throw error;
    }
  }

  #told<T>(action: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw fileError(error, action, this.#path);
    }
  }
}

function slotOf(generation: number): number {
  return ID_LENGTH + (generation % SLOTS) * SLOT_SIZE;
}
