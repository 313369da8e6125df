import { throwIfAborted } from '#src/base/errors.js';
import type { LogEntry, LogSelection } from '#src/containerizer/index.js';

/** What a program printed, in memory, line by line; and before it those that ran in its container before. */
export class FakeLog {
  readonly #entries: LogEntry[];
  readonly #now: () => number;
  #wake: (() => void)[] = [];
  #isClosed = false;

  constructor(now: () => number, before: FakeLog | undefined) {
    this.#now = now;
    this.#entries = before === undefined ? [] : [...before.#entries];
  }

  add(stream: LogEntry['stream'], text: string): void {
    const time = new Date(this.#now());
    const timestamp = time.toISOString().replace('Z', '000000Z');
    for (const line of text.split(/(?<=\n)/)) {
      if (line !== '') this.#entries.push({ time, timestamp, stream, bytes: Buffer.from(line) });
    }
    this.#tell();
  }

  /** How much has been printed so far. */
  get length(): number {
    return this.#entries.length;
  }

  /** Nothing comes any more. */
  close(): void {
    this.#isClosed = true;
    this.#tell();
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** @param from how much of it was there before what is read */
  async *read(
    { follow = false, since, tail, signal }: LogSelection,
    from: number,
  ): AsyncGenerator<LogEntry, void, undefined> {
    const isWanted = ({ time }: LogEntry) => since === undefined || time >= since;
    let next = this.#entries.length;
    const first = this.#entries.slice(from, next).filter(isWanted);
    yield* tail === undefined ? first : first.slice(firstOfLast(first, tail));
    while (follow && (next < this.#entries.length || !this.#isClosed)) {
      throwIfAborted(signal);
      if (next < this.#entries.length) {
        const entry = this.#entries[next++] as LogEntry;
        if (isWanted(entry)) yield entry;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake.push(resolve);
          signal?.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    }
  }
}

/** Parts of a line count together. */
function firstOfLast(entries: readonly LogEntry[], lines: number): number {
  const begins = entries.flatMap((_, index) =>
    index === 0 || entries[index - 1]?.bytes.at(-1) === 0x0a ? [index] : [],
  );
  return lines === 0 ? entries.length : (begins.at(-lines) ?? 0);
}
