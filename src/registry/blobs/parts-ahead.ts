import type { Answer } from '../connection/send-request.js';
import type { ConnectionShare } from './connection-share.js';
import { FetchedPart, type PartRange } from './fetched-part.js';

/** Connections that one blob is read over, at most. */
export const MAX_CONNECTIONS_PER_BLOB = 6;
/** Bytes of a part: below the one, asking for it takes longer than reading it; more than the other is too much to keep in memory. */
const LEAST_PART = 256 * 1024;
const LARGEST_PART = 4 * 1024 * 1024;
/** With less left than one connection brings in so many seconds, or fewer parts, the time to ask for them is better spent reading. */
const LEAST_SECONDS = 1;
const LEAST_PARTS = 4;

export interface PartsNeeds {
  /** Bytes from the start of the blob: where the parts begin. */
  readonly from: number;
  /** Of the blob, in bytes. */
  readonly size: number;
  /** That one connection has brought. What the parts turn out to bring counts when it is more. */
  readonly bytesPerSecond: number;
  readonly share: ConnectionShare;
  /** @returns the answer to a request for a part, whatever it is @throws what the connection fails with */
  readonly ask: (range: PartRange, signal: AbortSignal) => Promise<Answer>;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
}

/**
 * A part is what a connection brings in a second, and towards the end less, so that all connections come to theirs at about the same time.
 * @param bytesPerSecond that one connection brings @param rest bytes that are to be shared out
 */
function partLength(bytesPerSecond: number, rest: number): number {
  const share = rest / (2 * MAX_CONNECTIONS_PER_BLOB);
  return Math.ceil(Math.max(LEAST_PART, Math.min(bytesPerSecond, share, LARGEST_PART)));
}

/**
 * Whether it is worth it to share the rest out, and from where on; the connection that is there goes on as far as that.
 * @param bytesPerSecond that one connection brings @param offset bytes that it has brought @returns undefined when it is not
 */
export function partsFrom(bytesPerSecond: number, offset: number, size: number): number | undefined {
  const rest = size - offset;
  if (rest < bytesPerSecond * LEAST_SECONDS || rest < LEAST_PARTS * LEAST_PART) return undefined;
  return offset + partLength(bytesPerSecond, rest);
}

/**
 * Reads what comes next of a blob over several connections: each fetches one part after the other, in order, and they are handed on in order. What is ahead of the reader is kept in memory,
 * a part for each connection at most.
 *
 *   handed on │▒▒▒ part 5 ▒▒▒│░░ part 6 ░│ part 7    │            each connection has the next part that nobody has
 *             └ the reader is here
 *
 * As many connections as there is room for begin at once; the reader's own, which cannot be taken from it, when the reader comes to where the parts begin. When that is the only one left, they end: to
 * read on without asking for parts is faster then.
 */
export class PartsAhead {
  readonly #needs: PartsNeeds;
  readonly #stop = new AbortController();
  /** In order; the first one is being handed on. */
  readonly #parts: FetchedPart[] = [];
  /** Memory of parts that have been handed on. */
  readonly #spare: Buffer[] = [];
  /** Connections at work, until each has let go. */
  readonly #lanes = new Set<Promise<void>>();
  #atWork = 0;
  /** Where the next part begins. */
  #next: number;
  #bytesPerSecond: number;
  #failed = false;
  #wakeLanes: () => void = () => {};
  #room: Promise<void> | undefined;

  constructor(needs: PartsNeeds) {
    this.#needs = needs;
    this.#next = needs.from;
    this.#bytesPerSecond = needs.bytesPerSecond;
    this.#addLanes(MAX_CONNECTIONS_PER_BLOB - 1);
  }

  /** Where they begin: bytes from the start of the blob. */
  get from(): number {
    return this.#needs.from;
  }

  /** There was no room for another connection. */
  get isEmpty(): boolean {
    return this.#atWork === 0;
  }

  /** The first of them has been answered as it should be: the server does what it is asked for, and who comes to `from` need not go on himself. */
  get areComing(): boolean {
    return this.#parts[0]?.isComing ?? false;
  }

  /**
   * To be read once, by who has a connection that he needs no more.
   * @returns pieces from `from` on, each good until the next one is asked for: to the end of the blob, or to where no other connection was left @throws PartsEnded
   */
  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    if (this.#atWork > 0) this.#begin({ isOwn: true });
    for (let part = this.#parts[0]; part !== undefined; part = this.#parts[0]) {
      yield* part.pieces();
      this.#parts.shift();
      this.#spare.push(part.memory);
      this.#wakeLanes();
      if (this.#atWork > 0) this.#addLanes(MAX_CONNECTIONS_PER_BLOB - this.#atWork);
    }
  }

  /** Breaks off what is under way. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#wakeLanes();
    await Promise.all(this.#lanes);
  }

  #addLanes(count: number): void {
    for (let more = count; more > 0 && this.#isWanted() && this.#needs.share.take(); more--)
      this.#begin({ isOwn: false });
  }

  #isWanted(): boolean {
    return !this.#failed && !this.#stop.signal.aborted && this.#next < this.#needs.size;
  }

  #begin(lane: { readonly isOwn: boolean }): void {
    this.#atWork++;
    const work = this.#lane(lane).finally(() => {
      this.#lanes.delete(work);
      this.#atWork--;
      this.#wakeLanes();
    });
    this.#lanes.add(work);
  }

  /** @param isOwn it is the reader's own connection, and is not given back */
  async #lane({ isOwn }: { readonly isOwn: boolean }): Promise<void> {
    const { share } = this.#needs;
    try {
      while (this.#isWanted() && (isOwn ? this.#atWork > 1 : !share.isOver())) {
        if (this.#parts.length < this.#atWork) await this.#fill(this.#takePart());
        else await this.#waitForRoom();
      }
    } catch {
      // There is no memory for another part.
      this.#failed = true;
    } finally {
      if (!isOwn) share.giveBack();
    }
  }

  #takePart(): FetchedPart {
    const first = this.#next;
    const rest = this.#needs.size - first;
    const length = Math.min(partLength(this.#bytesPerSecond, rest), rest);
    const spare = this.#spare.pop();
    const memory = spare !== undefined && spare.length >= length ? spare : Buffer.allocUnsafeSlow(length);
    const part = new FetchedPart({ first, last: first + length - 1 }, memory);
    this.#parts.push(part);
    this.#next = first + length;
    return part;
  }

  async #fill(part: FetchedPart): Promise<void> {
    const { ask, size, now } = this.#needs;
    const begun = now();
    try {
      await part.read(await ask(part.range, this.#stop.signal), size);
      this.#bytesPerSecond = Math.max(this.#bytesPerSecond, (part.length * 1000) / (now() - begun));
    } catch (cause) {
      // What comes after it is of no use before it is there.
      this.#failed = true;
      part.fail(cause);
    }
  }

  #waitForRoom(): Promise<void> {
    this.#room ??= new Promise((resolve) => {
      this.#wakeLanes = () => {
        this.#room = undefined;
        this.#wakeLanes = () => {};
        resolve();
      };
    });
    return this.#room;
  }
}
