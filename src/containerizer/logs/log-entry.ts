/** A piece of what a program printed, as its monitor kept it. */
export interface LogEntry {
  /** When the monitor read it. */
  readonly time: Date;
  /** As it stands in the log: with nanoseconds, in UTC. */
  readonly timestamp: string;
  /** `monitor`: what is said of what the monitor could not keep, or whoever reads has missed. */
  readonly stream: 'stdout' | 'stderr' | 'monitor';
  /** Exactly the bytes, a line break at the end included where the program printed one. */
  readonly bytes: Buffer;
}

const SPACE = 0x20;
const LINE_BREAK = 0x0a;
const PARTIAL = 0x50;
const STREAMS = new Set(['stdout', 'stderr', 'monitor']);

/**
 * A line of a log, `TIME STREAM F|P TEXT`: F is a line that ended with a line break, P a part that did not.
 * @param line without the line break of the log itself @returns undefined for a line that no monitor wrote whole
 * @see Kubernetes' CRI logging format, design proposal "kubelet-cri-logging.md"
 */
export function parseLogLine(line: Buffer): LogEntry | undefined {
  const first = line.indexOf(SPACE);
  const second = line.indexOf(SPACE, first + 1);
  if (first < 0 || second < 0 || line[second + 2] !== SPACE) return undefined;
  const timestamp = line.toString('latin1', 0, first);
  const stream = line.toString('latin1', first + 1, second);
  const time = timeOf(timestamp);
  if (!STREAMS.has(stream) || Number.isNaN(time.getTime())) return undefined;
  const text = line.subarray(second + 3);
  const bytes = line[second + 1] === PARTIAL ? Buffer.from(text) : Buffer.concat([text, Buffer.of(LINE_BREAK)]);
  return { time, timestamp, stream: stream as LogEntry['stream'], bytes };
}

/** To the millisecond. */
export const timeOf = (timestamp: string): Date => new Date(`${timestamp.slice(0, 23)}Z`);

/** What stands at the beginning of each part of a log but the first. */
export interface PartMark {
  readonly number: number;
  readonly timestamp: string;
  /** When what was printed last before this part was read. */
  readonly before: Date;
}

const PART = /^(\S+) part F (\d+) (\S+)$/;
/** Longer than any. */
const PART_MOST = 120;

/** @param line without its line break @returns undefined for all other lines */
export function parsePartMark(line: Buffer): PartMark | undefined {
  if (line.length > PART_MOST) return undefined;
  const [, timestamp, number, before = ''] = PART.exec(line.toString('latin1')) ?? [];
  if (timestamp === undefined) return undefined;
  return { number: Number(number), timestamp, before: timeOf(before) };
}

/** Cuts what is read into lines, however it comes. */
export class LogLines {
  readonly #begins: (mark: PartMark) => LogEntry | undefined;
  #rest: Buffer[] = [];

  /** @param begins is told where a part begins, and what it gives is an entry there */
  constructor(begins: (mark: PartMark) => LogEntry | undefined = () => undefined) {
    this.#begins = begins;
  }

  /** The entries that are whole by now. */
  *take(chunk: Buffer): Generator<LogEntry> {
    let from = 0;
    for (let end = chunk.indexOf(LINE_BREAK); end >= 0; end = chunk.indexOf(LINE_BREAK, from)) {
      const piece = chunk.subarray(from, end);
      const line = this.#rest.length === 0 ? piece : Buffer.concat([...this.#rest, piece]);
      this.#rest = [];
      from = end + 1;
      const entry = parseLogLine(line) ?? this.#beginning(line);
      if (entry !== undefined) yield entry;
    }
    if (from < chunk.length) this.#rest.push(Buffer.from(chunk.subarray(from)));
  }

  #beginning(line: Buffer): LogEntry | undefined {
    const mark = parsePartMark(line);
    return mark === undefined ? undefined : this.#begins(mark);
  }
}
