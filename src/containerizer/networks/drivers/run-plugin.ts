import { closeSync } from 'node:fs';
import { anySignal } from '../../../base/any-signal.js';
import { isProvisionerError, ProvisionerError, throwIfAborted } from '../../../base/errors.js';
import { readPipe, writePipe } from '../../../system/processes/pipe-streams.js';
import type { PipeEnds, Processes } from '../../../system/processes/processes.js';

/** What runs with the rights of this process, told on its standard input what to do. */
export interface PluginRun {
  /** Absolute. */
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly input: string;
  /** For messages: `netavark`. */
  readonly name: string;
  /** Milliseconds. */
  readonly patience: number;
  /** A descriptor that it finds open as well, so that what this one holds is held as long as it runs, whatever becomes of us. */
  readonly held?: number | undefined;
}

export interface PluginAnswer {
  /** Whether it says that it has done it. */
  readonly ok: boolean;
  readonly stdout: string;
  /** Its last words, in one line. */
  readonly complaint: string;
}

const SIGKILL = 9;
/** Bytes of an answer: lists of addresses. */
const ANSWER_MAX = 2 ** 20;
/** Milliseconds for what a program has written before its end to come through, when somebody else still holds its pipes. */
const LAST_BYTES = 200;
/** Milliseconds for one that was killed. */
const DYING = 2000;

/**
 * Runs a plugin until it ends. One that takes too long, or that nobody waits for any more, is killed.
 * @throws ProvisionerError `ERR_NETWORK_FAILED` when it cannot be run, says too much, or takes too long; `ERR_ABORTED`
 */
export async function runPlugin(
  processes: Processes,
  { program, args, env, input, name, patience, held }: PluginRun,
  signal: AbortSignal | undefined,
): Promise<PluginAnswer> {
  throwIfAborted(signal);
  const late = AbortSignal.timeout(patience);
  const open: number[] = [];
  const pipe = (): PipeEnds => {
    const ends = processes.openPipe();
    open.push(ends.readEnd, ends.writeEnd);
    return ends;
  };
  const streams: { destroy(): unknown }[] = [];
  const owned = <T extends { destroy(): unknown }>(descriptor: number, make: (descriptor: number) => T): T => {
    open.splice(open.indexOf(descriptor), 1);
    const stream = make(descriptor);
    streams.push(stream);
    return stream;
  };
  try {
    const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
    const writer = owned(stdin.writeEnd, writePipe);
    const readers = [owned(stdout.readEnd, readPipe), owned(stderr.readEnd, readPipe)] as const;
    // One that does not read what it is told says why.
    writer.on('error', () => undefined);
    const descriptors = [stdin.readEnd, stdout.writeEnd, stderr.writeEnd, ...(held === undefined ? [] : [held])];
    const { pid } = await processes.spawn({ program, args, env, descriptors }).finally(() => {
      for (const descriptor of open.splice(0)) closeSync(descriptor);
    });
    writer.end(input);
    const said = Promise.all(readers.map(readAll));
    const given = signal === undefined ? late : anySignal([late, signal]);
    try {
      // Something that it has left running may hold its outputs: its own end counts.
      const exit = await processes.exitOf(pid, { ended: said, signal: given });
      const enough = setTimeout(() => {
        for (const reader of readers) reader.destroy();
      }, LAST_BYTES);
      const [out = '', error = ''] = await said.finally(() => clearTimeout(enough));
      const ok = exit.code === 0;
      return { ok, stdout: out, complaint: lastWords(error, out) || endOf(exit) };
    } catch (error) {
      if (!given.aborted) throw error;
      kill(processes, pid);
      throwIfAborted(signal);
      throw failed(name, `did not end within ${patience / 1000} s, and was killed`);
    }
  } catch (error) {
    if (isProvisionerError(error)) throw error;
    throw failed(name, 'could not be run', error);
  } finally {
    for (const descriptor of open) closeSync(descriptor);
    for (const stream of streams) stream.destroy();
  }
}

async function readAll(pipe: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of pipe) {
      bytes += piece.length;
      if (bytes <= ANSWER_MAX) pieces.push(piece);
    }
  } catch {
    // Given up: what has come counts.
  }
  return Buffer.concat(pieces).toString();
}

function kill(processes: Processes, pid: number): void {
  const handle = processes.open(pid);
  handle?.send(SIGKILL);
  handle?.close();
  // Asked for, so that it stays no zombie.
  void processes.exitOf(pid, { signal: AbortSignal.timeout(DYING) }).catch(() => undefined);
}

/** Plugins answer in JSON, and some log as well. @see CNI specification 1.0, section 5, "Error" */
function lastWords(stderr: string, stdout: string): string {
  for (const text of [stdout, stderr]) {
    try {
      const { msg, details, error } = Object(JSON.parse(text)) as Record<'msg' | 'details' | 'error', unknown>;
      const words = [msg, details, error].filter((one) => typeof one === 'string' && one !== '');
      if (words.length > 0) return words.join(': ');
    } catch {
      // It is no JSON.
    }
  }
  return stderr.trim().split('\n').at(-1)?.trim() ?? '';
}

const endOf = ({ code, signal }: { readonly code?: number | undefined; readonly signal?: number | undefined }) =>
  code === undefined ? `it was ended by signal ${signal}` : `it ended with ${code} and said nothing`;

/** @param what became of it, after its name @param said whether the plugin has ended by itself, and says so */
export function failed(name: string, what: string, cause?: unknown, said = false): ProvisionerError {
  return new ProvisionerError('ERR_NETWORK_FAILED', `${name} ${what}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'see what it says, and try again; what is left of it the next recovery takes away',
    details: { plugin: name, said },
  });
}
