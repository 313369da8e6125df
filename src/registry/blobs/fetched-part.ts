import { isProvisionerError } from '../../base/errors.js';
import { codingsOf } from '../connection/content-coding.js';
import type { Answer } from '../connection/send-request.js';
import { rangeOf } from './content-range.js';

/** So much of a part is handed on at a time. */
const PIECE_SIZE = 512 * 1024;

/** What is asked of a server: bytes from the start, both included. */
export interface PartRange {
  readonly first: number;
  readonly last: number;
}

/**
 * They ended before the end of the blob. What came before that has been handed on.
 * @see BlobReader, which goes on with one connection
 */
export class PartsEnded extends Error {
  override readonly name = 'PartsEnded';
  /** The server does not do what it is asked for: it should not be asked again. */
  readonly refused: boolean;

  constructor(message: string, options: { readonly refused: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause });
    this.refused = options.refused;
  }
}

/** A part that is being fetched, while what has come of it is handed on. */
export class FetchedPart {
  readonly range: PartRange;
  readonly memory: Buffer;
  #isComing = false;
  #filled = 0;
  #failure: PartsEnded | undefined;
  #wakeReader: () => void = () => {};

  /** @param memory as much as it has bytes, or more */
  constructor(range: PartRange, memory: Buffer) {
    this.range = range;
    this.memory = memory;
  }

  /** Bytes. */
  get length(): number {
    return this.range.last - this.range.first + 1;
  }

  /** It has been answered as it should be, and nothing has gone wrong since. */
  get isComing(): boolean {
    return this.#isComing && this.#failure === undefined;
  }

  /** @throws PartsEnded for another answer than exactly this part; what the connection fails with */
  async read(answer: Answer, size: number): Promise<void> {
    try {
      if (!this.#isAnswer(answer, size))
        throw refused('it answers with something else than the part that it was asked for');
      this.#isComing = true;
      for await (const piece of answer.body) {
        if (piece.length > this.length - this.#filled)
          throw refused('it sends more than the part that it was asked for');
        this.#filled += piece.copy(this.memory, this.#filled);
        this.#wakeReader();
      }
    } finally {
      answer.body.destroy();
    }
    if (this.#filled < this.length) throw new PartsEnded('a part ended too early', { refused: false });
  }

  fail(cause: unknown): void {
    this.#failure =
      cause instanceof PartsEnded ? cause : new PartsEnded('a part did not come', { refused: isAnswer(cause), cause });
    this.#wakeReader();
  }

  /** What has come and what will. @throws PartsEnded when all that has come before has been handed on */
  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    for (let handed = 0; handed < this.length; ) {
      if (this.#filled > handed) {
        const piece = this.memory.subarray(handed, Math.min(this.#filled, handed + PIECE_SIZE));
        handed += piece.length;
        yield piece;
      } else if (this.#failure !== undefined) {
        throw this.#failure;
      } else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }

  #isAnswer(answer: Answer, size: number): boolean {
    const range = rangeOf(answer);
    const fits = range?.total === undefined || range.total === size;
    const { first, last } = this.range;
    return (
      answer.status === 206 && range?.first === first && range.last === last && fits && codingsOf(answer).length === 0
    );
  }
}

function refused(message: string): PartsEnded {
  return new PartsEnded(message, { refused: true });
}

/** A refusal is an answer as well: too many connections, or none for a part. */
function isAnswer(error: unknown): boolean {
  return isProvisionerError(error) && error.details['status'] !== undefined;
}
