import type { Readable, Writable } from 'node:stream';
import type { Containerizer, Exit, Launched, LogEntry } from '../../containerizer/index.js';
import type { HostProcess } from '../host-process.js';
import { Interruption } from '../interruption.js';
import type { TextStream } from '../output/output.js';
import type { PrintedEnds } from './failed-lookup.js';

/**
 * Prints what a container prints until its program has ended. The first interruption of this process is handed on to the program, which may take its time, or not care; the second ends
 * this process and leaves the container running.
 * @param ends hears what is printed @throws OutputClosed when nobody reads any more; the container runs on
 */
export async function followOutput(
  containers: Containerizer,
  { containerId, output }: Launched,
  host: HostProcess,
  ends?: PrintedEnds,
): Promise<Exit> {
  const noMore = handSignalsOn(host, (name) => containers.kill(containerId, name, { anyOwner: true }));
  try {
    const ended = containers.wait(containerId);
    // It is waited for once the output has been printed, or not at all.
    ended.catch(() => undefined);
    for await (const entry of output ?? []) {
      ends?.add(entry.stream, entry.bytes);
      await printEntry(entry, host);
    }
    return await ended;
  } finally {
    noMore();
  }
}

/** Sends the first interruption of this process, and all signals that say nothing to it, to a program. @returns ends that */
export function handSignalsOn(
  { signal, onSignals }: HostProcess,
  send: (name: NodeJS.Signals) => Promise<unknown>,
): () => void {
  const handOn = (name: NodeJS.Signals) => void send(name).catch(() => undefined);
  const interrupt = () => handOn(signal.reason instanceof Interruption ? signal.reason.signal : 'SIGTERM');
  const passed = onSignals?.(PASSED, handOn);
  if (signal.aborted) interrupt();
  else signal.addEventListener('abort', interrupt, { once: true });
  return () => {
    signal.removeEventListener('abort', interrupt);
    passed?.();
  };
}

/** Those that say nothing to this process, and something to many programs. */
const PASSED = ['SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const;

/** What the monitor says itself is no part of what the program printed. */
export function printEntry({ stream, bytes }: LogEntry, { stdout, stderr }: HostProcess): Promise<void> | undefined {
  return writeBytes(stream === 'stdout' ? stdout : stderr, bytes);
}

/** One of many lines, for as long as somebody reads them. @throws OutputClosed */
export function printLine(line: string, { stdout }: HostProcess): Promise<void> | undefined {
  return writeBytes(stdout, Buffer.from(`${line}\n`));
}

/** Prints what comes, until nothing more does. @param tell hears what is printed @throws OutputClosed when nobody reads any more */
export async function printBytes(
  from: AsyncIterable<Uint8Array>,
  to: TextStream,
  tell: (bytes: Uint8Array) => void = () => {},
): Promise<void> {
  for await (const bytes of from) {
    tell(bytes);
    await writeBytes(to, bytes);
  }
}

/** The same of a pipe, which may also be cut: a child of a program may hold its output open for ever. @throws OutputClosed when nobody reads any more */
export async function printStream(from: Readable, to: TextStream, tell: (bytes: Uint8Array) => void): Promise<void> {
  try {
    await printBytes(from as AsyncIterable<Uint8Array>, to, tell);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}

/**
 * Hands what comes here on to a program until it has ended. By a pipe: who is given a descriptor of this process itself can do to a file or a terminal behind it whatever its owner can,
 * and runtimes make the program's user its owner.
 */
export function feed(program: Writable, { stdin }: HostProcess): { stop(): void } {
  const from = stdin();
  // It may end, or close its standard input, before all has been read.
  program.on('error', () => from.destroy());
  from.on('error', () => program.end());
  from.pipe(program);
  return {
    stop() {
      from.unpipe(program);
      from.destroy();
      program.destroy();
    },
  };
}

/** Nobody reads any more what this process prints. */
export class OutputClosed extends Error {
  readonly exitStatus: number;

  constructor(exitStatus: number) {
    super('nobody reads the output any more');
    this.exitStatus = exitStatus;
  }
}

/** What shells report for a process that writes where nobody reads: 128 and SIGPIPE. */
const NOBODY_READS = 141;

/** Those that nobody reads any more, or that take nothing, and the exit status for that: standard streams of Node take bytes all the same from then on. */
const closed = new WeakMap<object, number>();
const listened = new WeakSet<object>();

/** Waits where whoever reads does not keep up, so that a long output is not all in memory. @throws OutputClosed */
export function writeBytes(to: TextStream, bytes: Uint8Array): Promise<void> | undefined {
  if (!listened.has(to)) {
    listened.add(to);
    to.on?.('error', (error) => void closed.set(to, error?.code === 'EPIPE' ? NOBODY_READS : 1));
    to.on?.('close', () => {
      if (!closed.has(to)) closed.set(to, NOBODY_READS);
    });
  }
  const status = closed.get(to);
  if (status !== undefined) throw new OutputClosed(status);
  if (to.write(bytes) !== false) return undefined;
  return new Promise((resolve) => {
    const go = () => {
      for (const name of ['drain', 'close', 'error']) to.off?.(name, go);
      resolve();
    };
    for (const name of ['drain', 'close', 'error']) to.on?.(name, go);
  });
}
