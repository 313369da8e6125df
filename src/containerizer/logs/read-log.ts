import { constants, type FSWatcher } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { systemCode, throwIfAborted } from '../../base/errors.js';
import { watchDirectory } from '../../base/watch-directory.js';
import type { LaunchDirectory } from '../launches/launch-directory.js';
import { type LogEntry, LogLines } from './log-entry.js';

/** What of a log is wanted. */
export interface LogSelection {
  /** Goes on until the program has ended, or the signal says that it is enough. Default: false. */
  readonly follow?: boolean | undefined;
  /** Not what was printed before this time. */
  readonly since?: Date | undefined;
  /** The last lines only, so many of them. Default: all. */
  readonly tail?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const CHUNK = 256 * 1024;
/** A watch may miss what happens as it begins; and some file systems tell nothing. */
const LOOK_AGAIN = 500;

/**
 * What a program printed, from its beginning as far as it was kept, in the order in which its monitor read it.
 * @param ended resolves when nothing more is going to be written
 */
export async function* readLog(
  directory: LaunchDirectory,
  { follow = false, since, tail, signal }: LogSelection,
  ended: Promise<unknown>,
): AsyncGenerator<LogEntry, void, undefined> {
  const log = new GrowingLog(directory);
  try {
    let last: LogEntry[] | undefined = tail === undefined ? undefined : [];
    const isWanted = ({ time }: LogEntry) => since === undefined || time >= since;
    for await (const entry of log.toItsEnd()) {
      throwIfAborted(signal);
      if (!isWanted(entry)) continue;
      if (last === undefined) yield entry;
      else keepLast(last, entry, tail as number);
    }
    if (last !== undefined) yield* last.slice(firstOfLast(last, tail as number));
    last = undefined;
    if (!follow) return;
    for await (const entry of log.growing(ended, signal)) if (isWanted(entry)) yield entry;
  } finally {
    await log.close();
  }
}

/**
 * What is printed from this call on, however much was printed before, until nothing more is going to be written.
 * @returns it, and what lets go of it where nobody has begun to read
 */
export async function readLogFromNowOn(
  directory: LaunchDirectory,
  ended: Promise<unknown>,
  signal: AbortSignal | undefined,
): Promise<{ readonly entries: AsyncGenerator<LogEntry, void, undefined>; readonly close: () => void }> {
  const log = new GrowingLog(directory);
  await log.skip();
  let isBegun = false;
  async function* entries(): AsyncGenerator<LogEntry, void, undefined> {
    isBegun = true;
    try {
      yield* log.growing(ended, signal);
    } finally {
      await log.close();
    }
  }
  return { entries: entries(), close: () => void (isBegun || log.close().catch(() => undefined)) };
}

/**
 * Lets go when a log has been read, or is given up: also before it was begun, where a generator would never come to its `finally`.
 * @param given ends the wait for what comes next, so that whoever has asked for it can give up all the same: then there is nothing more
 */
export function releasing<T>(
  generator: AsyncGenerator<T, void, undefined>,
  given: AbortController,
  release: () => void,
): AsyncIterable<T> {
  const after = async (step: Promise<IteratorResult<T, void>>) => {
    try {
      const result = await step;
      if (result.done === true) release();
      return result;
    } catch (error) {
      release();
      if (given.signal.aborted) return { done: true as const, value: undefined };
      throw error;
    }
  };
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => after(generator.next()),
      return: () => {
        given.abort();
        return after(generator.return());
      },
      throw: (error: unknown) => after(generator.throw(error)),
    }),
  };
}

/** Keeps entries that make up the last lines: parts of a line count together. */
function keepLast(last: LogEntry[], entry: LogEntry, lines: number): void {
  last.push(entry);
  // Twice as many before any is dropped, so that each is moved a few times at most.
  if (last.length < 2 * lines + 64) return;
  last.splice(0, firstOfLast(last, lines));
}

/** At which entry the last lines begin. */
function firstOfLast(entries: readonly LogEntry[], lines: number): number {
  let first = entries.length;
  let found = 0;
  for (let index = entries.length - 1; index >= 0 && found < lines; index--) {
    const previous = entries[index - 1];
    if (previous !== undefined && !endsLine(previous)) continue;
    first = index;
    found++;
  }
  return first;
}

const endsLine = ({ bytes }: LogEntry) => bytes.at(-1) === 0x0a;

/** The files of a log while its monitor writes it, and puts a new one in the place of one that is full. */
class GrowingLog {
  readonly #directory: LaunchDirectory;
  readonly #lines = new LogLines();
  #file: FileHandle | undefined;
  /** What comes after it. */
  #newer: FileHandle | undefined;
  #position = 0;

  constructor(directory: LaunchDirectory) {
    this.#directory = directory;
  }

  /** All that is there now. */
  async *toItsEnd(): AsyncGenerator<LogEntry> {
    if (this.#file === undefined) await this.#open();
    while (this.#file !== undefined) {
      yield* this.#rest();
      if (this.#newer !== undefined) {
        await this.#file.close();
        this.#file = this.#newer;
        this.#newer = undefined;
        this.#position = 0;
        continue;
      }
      const next = await openLog(this.#directory.log);
      if (next === undefined) return;
      if (await isSame(this.#file, next)) return await next.close();
      // It was put aside: what was written to it until then is read before the next one is.
      yield* this.#rest();
      await this.#file.close();
      this.#file = next;
      this.#position = 0;
    }
  }

  /** All that is there now; of a line that is just being written, too. */
  async skip(): Promise<void> {
    this.#file = await openLog(this.#directory.log);
    this.#position = (await this.#file?.stat())?.size ?? 0;
  }

  /** Both at once: the directory may go when the container is started again, whose log goes on in the same files elsewhere. */
  async #open(): Promise<void> {
    for (;;) {
      const older = await openLog(this.#directory.olderLog);
      const log = await openLog(this.#directory.log);
      const olderNow = await openLog(this.#directory.olderLog);
      const isOneMore = olderNow !== undefined && (older === undefined || !(await isSame(older, olderNow)));
      await olderNow?.close();
      if (!isOneMore) {
        this.#file = older ?? log;
        this.#newer = older === undefined ? undefined : log;
        return;
      }
      await older?.close();
      await log?.close();
    }
  }

  async *growing(ended: Promise<unknown>, signal: AbortSignal | undefined): AsyncGenerator<LogEntry, void, undefined> {
    const bell = new Bell(this.#directory.output, signal);
    try {
      let over = false;
      const end = () => {
        over = true;
        bell.ring();
      };
      void ended.then(end, end);
      while (true) {
        const last = over;
        for await (const entry of this.toItsEnd()) {
          throwIfAborted(signal);
          yield entry;
        }
        if (last) return;
        await bell.wait();
        throwIfAborted(signal);
      }
    } finally {
      bell.close();
    }
  }

  async *#rest(): AsyncGenerator<LogEntry> {
    const buffer = Buffer.allocUnsafe(CHUNK);
    while (this.#file !== undefined) {
      const { bytesRead } = await this.#file.read(buffer, 0, CHUNK, this.#position);
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      yield* this.#lines.take(Buffer.from(buffer.subarray(0, bytesRead)));
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    await this.#newer?.close();
    this.#file = undefined;
    this.#newer = undefined;
  }
}

/** Tells that something has been written. */
class Bell {
  readonly #watcher: FSWatcher | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #signal: AbortSignal | undefined;
  #rung = false;
  #wake: (() => void) | undefined;

  constructor(directory: string, signal: AbortSignal | undefined) {
    this.#watcher = watchDirectory(directory, this.ring);
    this.#timer = setInterval(this.ring, LOOK_AGAIN);
    this.#signal = signal;
    signal?.addEventListener('abort', this.ring);
  }

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  async wait(): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    this.#rung = false;
  }

  close(): void {
    this.#watcher?.close();
    clearInterval(this.#timer);
    this.#signal?.removeEventListener('abort', this.ring);
  }
}

async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function isSame(one: FileHandle, other: FileHandle): Promise<boolean> {
  const [first, second] = await Promise.all([one.stat({ bigint: true }), other.stat({ bigint: true })]);
  return first.ino === second.ino && first.dev === second.dev;
}
