import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { abortedError, fileError, ProvisionerError } from '../../base/errors.js';
import { limitExceeded, malformed, truncated } from '../../base/malformed.js';
import { findProgram } from '../syscalls/find-program.js';
import type { Chunks } from './inflate.js';
import type { TakeMemory } from './window-memory.js';

/** Compressions that a program of the system undoes, of the same name. Docker reads both, and has them undone in the same way. */
export type ProgramCompression = 'xz' | 'bzip2';

interface Program {
  /** Memory that it takes of what all who inflate share, in bytes. */
  readonly memory: number;
  /** All that it gets of an environment: these programs take options from there. */
  readonly environment: Readonly<Record<string, string>>;
  /** For a hint. */
  readonly packages: string;
}

/** What `xz -9` makes takes half of that. One that wants more says so and ends. */
const XZ_MEMORY_MAX = 128 * 1024 * 1024;

const PROGRAMS: Readonly<Record<ProgramCompression, Program>> = {
  xz: {
    memory: XZ_MEMORY_MAX / 2,
    // Not as arguments: the one of BusyBox, which keeps to 64 MiB by itself, knows neither.
    environment: { XZ_DEFAULTS: `--memlimit-decompress=${XZ_MEMORY_MAX} --threads=1` },
    packages: 'the package xz-utils (Debian, Ubuntu), or xz (Fedora, Alpine, Arch)',
  },
  // It takes 4 MB.
  bzip2: { memory: 0, environment: {}, packages: 'the package bzip2' },
};

/** Of what it says when it fails, in bytes: one line is enough. */
const WORDS_MAX = 4096;

/** How these programs say that data ends early, and that it wants more memory than they may take. They speak English in the locale C. */
const ENDS_EARLY = /unexpected end of input|ends unexpectedly|short read|unexpected EOF/i;
const WANTS_MEMORY = /memory usage limit/i;

export interface ProgramContext {
  readonly signal: AbortSignal;
  readonly takeMemory: TakeMemory;
}

/**
 * Inflates with a program of the system, which is fed through one pipe and read through another. It has nothing of ours besides: no other descriptor, no
 * environment, and the root for its working directory. When this ends, however it does, the program has ended too. (One of a thread that was itself ended sees its pipes closed, and ends.)
 *
 * What may follow the data, and how many streams it may consist of, is as that program has it; all of it is read, because it counts for the digest.
 * @throws ProvisionerError `ERR_UNSUPPORTED_MEDIA_TYPE` where there is no such program; `ERR_LAYER_TRUNCATED`, `ERR_LAYER_MALFORMED`, `ERR_LIMIT_EXCEEDED`, `ERR_IO`,
 * `ERR_ABORTED`; what the reading of `stored` fails with
 */
export async function* inflateByProgram(
  stored: Chunks,
  compression: ProgramCompression,
  { signal, takeMemory }: ProgramContext,
): AsyncGenerator<Buffer, void, undefined> {
  const { memory, environment } = PROGRAMS[compression];
  const path = findProgram(compression);
  if (path === undefined) throw notInstalled(compression);
  const giveBack = memory > 0 ? await takeMemory(memory, signal) : () => {};
  try {
    const child = spawn(path, ['-dc'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: '/',
      env: { LC_ALL: 'C', ...environment },
    });
    // Where there are no descriptors for its pipes, it has none, and says why in a moment.
    if (child.stdin === undefined) throw fileError((await once(child, 'error'))[0], `run ${compression}`, path);
    yield* new ProgramRun(child, compression, path, signal).inflate(stored);
  } finally {
    giveBack();
  }
}

/** Its status or the signal that ended it; or why it could not be started. */
type End = readonly [status: number | null, signal: NodeJS.Signals | null] | Error;

class ProgramRun {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #compression: ProgramCompression;
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #ended: Promise<End>;
  #words = '';
  #inputError: { readonly cause: unknown } | undefined;
  /** Nobody wants more of what it makes. */
  #stopped = false;

  constructor(
    child: ChildProcessByStdio<Writable, Readable, Readable>,
    compression: ProgramCompression,
    path: string,
    signal: AbortSignal,
  ) {
    this.#child = child;
    this.#compression = compression;
    this.#path = path;
    this.#signal = signal;
    // When all that it said has been read too.
    this.#ended = new Promise((resolve) => {
      child.once('close', (status, by) => resolve([status, by]));
      child.once('error', resolve);
    });
    // One that ends early breaks the pipe; what that means, its status says.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', () => {});
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (this.#words.length < WORDS_MAX) this.#words += text;
    });
  }

  async *inflate(stored: Chunks): AsyncGenerator<Buffer, void, undefined> {
    const end = () => this.#end();
    this.#signal.addEventListener('abort', end, { once: true });
    const feeding = this.#feed(stored);
    try {
      if (this.#signal.aborted) throw abortedError(this.#signal);
      for await (const piece of this.#child.stdout) yield piece as Buffer;
      const ended = await this.#ended;
      await feeding;
      if (this.#signal.aborted) throw abortedError(this.#signal);
      if (this.#inputError !== undefined) throw this.#inputError.cause;
      this.#check(ended);
    } catch (error) {
      throw this.#signal.aborted ? abortedError(this.#signal) : error;
    } finally {
      this.#signal.removeEventListener('abort', end);
      end();
      await Promise.all([this.#ended, feeding]);
    }
  }

  /** The pipes as well: one that is a script may leave something behind that holds them open. */
  #end(): void {
    this.#stopped = true;
    this.#child.kill('SIGKILL');
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }

  /** A piece is handed on whole before the next one is asked for: its bytes are gone then. */
  async #feed(stored: Chunks): Promise<void> {
    const { stdin } = this.#child;
    try {
      for await (const piece of stored) {
        if (this.#stopped) return;
        if (stdin.writable) await new Promise<void>((resolve) => stdin.write(piece, () => resolve()));
      }
      stdin.end();
    } catch (cause) {
      this.#inputError = { cause };
      this.#child.kill('SIGKILL');
    }
  }

  #check(ended: End): void {
    if (ended instanceof Error) throw fileError(ended, `run ${this.#compression}`, this.#path);
    const [status, by] = ended;
    if (status === 0) return;
    const said = this.#said();
    const cause = new Error(said === '' ? `it ended with status ${status}` : said);
    if (by !== null) {
      throw new ProvisionerError('ERR_IO', `${this.#path} was ended by ${by} while it inflated a layer or an archive`, {
        hint: 'the machine may be short of memory; see `dmesg`',
        details: { path: this.#path, signal: by },
      });
    }
    if (WANTS_MEMORY.test(said)) throw limitExceeded(`${this.#compression} data that needs more memory`, XZ_MEMORY_MAX);
    if (ENDS_EARLY.test(said)) throw truncated(`its ${this.#compression} data ends too early`);
    throw malformed(`its ${this.#compression} data is damaged`, cause);
  }

  /** The first line of what it said, without its own name. */
  #said(): string {
    const [line = ''] = this.#words.trim().split('\n');
    return line.replace(/^\S+: (?:\(stdin\): )?/, '').trim();
  }
}

function notInstalled(compression: ProgramCompression): ProvisionerError {
  return new ProvisionerError(
    'ERR_UNSUPPORTED_MEDIA_TYPE',
    `the layer is compressed with ${compression}, and the program \`${compression}\` that undoes that is not installed`,
    {
      hint: `install ${PROGRAMS[compression].packages} in a directory of PATH that only root or you can write to`,
      details: { compression, program: compression },
    },
  );
}
