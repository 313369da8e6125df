import { type BigIntStats, constants, type FSWatcher, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { systemCode, throwIfAborted } from '../../base/errors.js';
import { watchDirectory } from '../../base/watch-directory.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';
import { type LogEntry, LogLines, type PartMark, parsePartMark, timeOf } from './log-entry.js';

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
/** Bytes in which the line is with which a part begins. */
const FIRST_LINE = 256;
/** In the place of what nobody can read any more. */
const MISSED = Buffer.from('some output was dropped before it was read\n');
/** A watch may miss what happens as it begins; and some file systems tell nothing. */
const LOOK_AGAIN = 500;

/**
 * What a program printed, from its beginning as far as it was kept, in the order in which its monitor read it. Where something was dropped while it was read, or before that but since the time that is wanted, an
 * entry of the monitor's stream says so.
 * @param ended resolves when nothing more is going to be written @param log that is read, for whoever passes something of it over
 */
export async function* readLog(
  directory: LaunchDirectory,
  { follow = false, since, tail, signal }: LogSelection,
  ended: Promise<unknown>,
  log = new GrowingLog(directory, since),
): AsyncGenerator<LogEntry, void, undefined> {
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
 * @returns it, what lets go of it where nobody has begun to read, and the log that is read
 */
export async function readLogFromNowOn(
  directory: LaunchDirectory,
  ended: Promise<unknown>,
  signal: AbortSignal | undefined,
): Promise<{
  readonly entries: AsyncGenerator<LogEntry, void, undefined>;
  readonly close: () => void;
  readonly log: GrowingLog;
}> {
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
  return { entries: entries(), close: () => void (isBegun || log.close().catch(() => undefined)), log };
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
export class GrowingLog {
  readonly #directory: LaunchDirectory;
  #lines = new LogLines((mark) => this.#begin(mark));
  readonly #since: Date | undefined;
  #file: FileHandle | undefined;
  /** What comes after it. */
  #newer: FileHandle | undefined;
  #position = 0;
  /** The number of the part that is read: 0 for one that does not tell it. */
  #part = 0;
  /** That of the one that comes next; undefined for the first one that is read. */
  #next: number | undefined;

  /** What stands before it is for nobody any more. */
  #passTo: { readonly file: Pick<BigIntStats, 'ino' | 'dev'>; readonly position: number } | undefined;

  /** How often that has happened. */
  #passed = 0;

  /** @param since from when on it is wanted; undefined for as far as it was kept */
  constructor(directory: LaunchDirectory, since?: Date) {
    this.#directory = directory;
    this.#since = since;
  }

  /** All that is there now. */
  async *toItsEnd(): AsyncGenerator<LogEntry> {
    if (this.#file === undefined) {
      const { older, log } = await this.#open();
      this.#file = older ?? log;
      this.#newer = older === undefined ? undefined : log;
    }
    while (this.#file !== undefined) {
      yield* this.#rest();
      if (this.#newer !== undefined) {
        await this.#goOn(this.#newer, undefined);
        continue;
      }
      const log = await openLog(this.#directory.log);
      if (log === undefined) return;
      const isLast = await isSame(this.#file, log);
      await log.close();
      if (isLast) return;
      // It was put aside: what was written to it until then is read before the next one is.
      const passed = this.#passed;
      yield* this.#rest();
      if (passed !== this.#passed) continue;
      const now = await this.#open();
      if (now.older === undefined || (await isSame(this.#file, now.older))) {
        await now.older?.close();
        if (now.log === undefined) return;
        await this.#goOn(now.log, undefined);
      } else await this.#goOn(now.older, now.log);
    }
  }

  async #goOn(file: FileHandle, newer: FileHandle | undefined): Promise<void> {
    await this.#file?.close();
    this.#file = file;
    this.#newer = newer;
    this.#position = 0;
    this.#next = this.#part + 1;
    this.#part = 0;
  }

  /** @returns what is to be said where it begins */
  #begin({ number, timestamp, before }: PartMark): LogEntry | undefined {
    const isMissed =
      this.#next === undefined ? this.#since !== undefined && before >= this.#since : number !== this.#next;
    this.#part = number;
    this.#next = undefined;
    return isMissed ? { time: timeOf(timestamp), timestamp, stream: 'monitor', bytes: MISSED } : undefined;
  }

  /** What has been printed until this moment, and has not been read. */
  passOver(): void {
    const file = statSync(this.#directory.log, { bigint: true, throwIfNoEntry: false });
    if (file !== undefined) this.#passTo = { file, position: Number(file.size) };
  }

  async #pass({ file, position }: { readonly file: Pick<BigIntStats, 'ino' | 'dev'>; readonly position: number }) {
    const isThat = async (one: FileHandle | undefined) => {
      const found = await one?.stat({ bigint: true });
      return found?.ino === file.ino && found.dev === file.dev;
    };
    this.#passed++;
    this.#lines = new LogLines((mark) => this.#begin(mark));
    if (await isThat(this.#file)) {
      this.#position = Math.max(this.#position, position);
      return;
    }
    const { older, log } = await this.#open();
    const isOlder = await isThat(older);
    // Where both have been put aside since, all that is there came after it.
    const isThere = isOlder || (await isThat(log));
    await this.close();
    this.#file = isOlder || !isThere ? (older ?? log) : log;
    this.#newer = this.#file === older ? log : undefined;
    if (!isOlder && isThere) await older?.close();
    this.#position = isThere ? position : 0;
    this.#next = undefined;
    this.#part = await this.#numberOf(this.#file);
  }

  /** All that is there now; of a line that is just being written, too. */
  async skip(): Promise<void> {
    this.#file = await openLog(this.#directory.log);
    if (this.#file === undefined) return;
    this.#position = (await this.#file.stat()).size;
    this.#part = await this.#numberOf(this.#file);
  }

  async #numberOf(file: FileHandle | undefined): Promise<number> {
    if (file === undefined) return 0;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_LINE), 0, FIRST_LINE, 0);
    const end = buffer.subarray(0, bytesRead).indexOf(0x0a);
    return parsePartMark(buffer.subarray(0, Math.max(0, end)))?.number ?? 0;
  }

  /** Both at once: the directory may go when the container is started again, whose log goes on in the same files elsewhere. */
  async #open(): Promise<{ readonly older: FileHandle | undefined; readonly log: FileHandle | undefined }> {
    for (;;) {
      const older = await openLog(this.#directory.olderLog);
      const log = await openLog(this.#directory.log);
      const olderNow = await openLog(this.#directory.olderLog);
      const isOneMore = olderNow !== undefined && (older === undefined || !(await isSame(older, olderNow)));
      await olderNow?.close();
      if (!isOneMore) return { older, log };
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
      const to = this.#passTo;
      this.#passTo = undefined;
      if (to !== undefined) await this.#pass(to);
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
