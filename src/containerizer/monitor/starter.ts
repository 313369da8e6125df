import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { arch } from 'node:os';
import type { Writable } from 'node:stream';
import { ProvisionerError } from '../../base/errors.js';
import { readPipe, writePipe } from '../../system/processes/pipe-streams.js';
import type { Processes, SpawnedProcess } from '../../system/processes/processes.js';
import { SYSTEM_CALLS } from './system-calls.js';

/** Where our small programs lie, and what reads them; absolute. */
export interface StarterPrograms {
  readonly perl: string;
  readonly monitor: string;
  readonly enter: string;
  /** Of the cgroup in which this process is, as of `ownProcsFile`. */
  readonly procs?: string | undefined;
}

/** Milliseconds for which the kernel moves processes to other cgroups without a wait when one has been moved; it is a multiple of that. */
const PRIMED = 10;

/** Descriptors of this process, as `Processes.spawn` takes them. */
type Descriptors = readonly (number | 'null')[];

/** A program that is run where some mounts are hidden. */
export interface HiddenRun {
  readonly hide: readonly string[];
  /** The program first. */
  readonly command: readonly string[];
  readonly descriptors: Descriptors;
}

/** One whose terminal is brought to the directory. What the descriptors are has `TERMINAL_PROGRAM`. */
export interface TerminalRun extends HiddenRun {
  /** Absolute. */
  readonly directory: string;
  /** To whom the terminal belongs. */
  readonly user: number;
}

/**
 * Starts programs of ours, which are in Perl. To load one takes longer than all else that it does until a container runs; so a copy is kept loaded, which copies itself for each start that comes. What
 * it starts are children of this process, as what this process starts itself, and find open what they are given. It ends with this process, or when it is closed; what it has started lives on.
 *
 * Where it cannot start what it is told to, since this process's descriptors are closed to it or the kernel is older than 5.6, that is started directly.
 */
export class Starter {
  readonly #processes: Processes;
  readonly #programs: StarterPrograms;
  readonly #patience: number;
  /** Undefined when it is not there, or has ended. */
  #copy: Promise<KeptCopy> | undefined;
  /** It has been tried, and does not work here; or nothing more is to be started. */
  #isUseless = false;
  /** When it was last told to do something that ends in a move to another cgroup. */
  #usedAt = Number.NEGATIVE_INFINITY;

  /** @param patience milliseconds for an answer, which takes less than one */
  constructor(processes: Processes, programs: StarterPrograms, patience = 10_000) {
    this.#processes = processes;
    this.#programs = programs;
    this.#patience = patience;
  }

  /** A runtime is to be started soon: a copy is loaded meanwhile, and the kernel prepared to move processes to other cgroups. */
  prepare(): void {
    if (this.#isUseless) return;
    const isLoaded = this.#copy !== undefined;
    const copy = this.#loaded();
    const isPrimed = performance.now() - this.#usedAt < PRIMED;
    this.#usedAt = performance.now();
    // It begins with that.
    if (isLoaded && !isPrimed) void copy.then((loaded) => loaded.prime()).catch(() => undefined);
    else void copy.catch(() => undefined);
  }

  /** @param directory of the launch @throws as `Processes.spawn`; `EPIPE` when it is not known whether it has been started */
  async monitor(directory: string, descriptors: Descriptors): Promise<SpawnedProcess> {
    const { perl, monitor } = this.#programs;
    const direct = { program: perl, args: [monitor], env: {}, directory, descriptors };
    return (await this.#byCopy('monitor', descriptors, [directory])) ?? this.#processes.spawn(direct);
  }

  /** @throws as `monitor` */
  async hidden({ hide, command, descriptors }: HiddenRun): Promise<SpawnedProcess> {
    const { perl, enter } = this.#programs;
    const { unshare, mount } = SYSTEM_CALLS[arch()] ?? {};
    const words = [String(hide.length), ...hide, ...command];
    const direct = { program: perl, args: [enter, String(unshare), String(mount), ...words], env: {}, descriptors };
    return (await this.#byCopy('run', descriptors, words)) ?? this.#processes.spawn(direct);
  }

  /** What it starts ends with the runtime, as that does. @throws as `monitor` */
  async withTerminal({ hide, command, descriptors, directory, user }: TerminalRun): Promise<SpawnedProcess> {
    const { perl, monitor } = this.#programs;
    const words = [String(user), String(hide.length), ...hide, ...command];
    const numbers = systemCalls();
    const args = [monitor, 'terminal', String(numbers.length), ...numbers, ...words];
    const direct = { program: perl, args, env: {}, directory, descriptors };
    return (await this.#byCopy('terminal', descriptors, [directory, ...words])) ?? this.#processes.spawn(direct);
  }

  /** What it has started goes on. */
  close(): void {
    this.#isUseless = true;
    void this.#copy?.then((copy) => copy.close()).catch(() => undefined);
  }

  /** @returns undefined when it has not been started, and is to be started directly */
  async #byCopy(kind: string, descriptors: Descriptors, words: readonly string[]): Promise<SpawnedProcess | undefined> {
    if (this.#isUseless) return undefined;
    const loaded = this.#loaded();
    const copy = await loaded;
    this.#usedAt = performance.now();
    const answer = await this.#ask(copy, kind, descriptors, words);
    if (typeof answer === 'number') return { pid: answer };
    if (answer === 'failed') this.close();
    // Its end may not show yet otherwise.
    else if (this.#copy === loaded) this.#copy = undefined;
    return undefined;
  }

  /** @throws ProvisionerError `ERR_START_FAILED` */
  async #ask(copy: KeptCopy, kind: string, descriptors: Descriptors, words: readonly string[]): Promise<Answer> {
    // Somebody may have stopped it: then it is ended, and what was asked of it with it.
    const late = setTimeout(() => copy.end(), this.#patience);
    try {
      return await copy.start(kind, descriptors, words);
    } catch (cause) {
      throw new ProvisionerError('ERR_START_FAILED', 'what starts monitors was ended in the middle of a start', {
        cause,
        hint: 'try again',
      });
    } finally {
      clearTimeout(late);
    }
  }

  /** What could not be loaded is tried again. */
  #loaded(): Promise<KeptCopy> {
    this.#copy ??= KeptCopy.load(this.#processes, this.#programs);
    const copy = this.#copy;
    const forget = () => {
      if (this.#copy === copy) this.#copy = undefined;
    };
    void copy.then(({ ended }) => ended).then(forget, forget);
    return copy;
  }
}

const SIGKILL = 9;

/** The pid of what was started. `failed`: it cannot start it. `unread`: it has ended before it was asked. */
type Answer = number | 'failed' | 'unread';

/** Who waits for an answer. */
interface Asker {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  /** It may have been read. */
  isAsked: boolean;
}

/** A loaded copy, which answers requests one after the other. */
class KeptCopy {
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  readonly #requests: Writable;
  readonly #answers: Socket;
  readonly #askers: Asker[] = [];
  #kill = (): void => {};

  private constructor(requests: Writable, answers: Socket) {
    this.#requests = requests;
    this.#answers = answers;
    // Whoever asks is told by the end of the answers.
    requests.on('error', () => requests.destroy());
    answers.on('error', () => answers.destroy());
    this.ended = new Promise((resolve) => answers.once('close', () => resolve()));
    void this.ended.then(() => {
      // The others are about to be told that their requests cannot be written.
      for (const { isAsked, reject } of this.#askers) if (isAsked) reject(lost());
    });
    let text = '';
    answers.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        this.#askers.shift()?.resolve(/^\d+$/.test(line) ? Number(line) : 'failed');
      }
      // Where nobody asks, nothing has to live for it.
      if (this.#askers.length === 0) answers.unref();
    });
    answers.unref();
  }

  static async load(processes: Processes, { perl, monitor, procs }: StarterPrograms): Promise<KeptCopy> {
    const requests = processes.openPipe();
    const answers = processes.openPipe();
    try {
      const { pid } = await processes.spawn({
        program: perl,
        args: [monitor, 'starter', ...systemCalls(), ...(procs === undefined ? [] : ['procs', procs])],
        env: {},
        directory: '/',
        descriptors: [requests.readEnd, answers.writeEnd],
      });
      const copy = new KeptCopy(writePipe(requests.writeEnd), readPipe(answers.readEnd));
      copy.#kill = () => {
        const held = processes.open(pid);
        held?.send(SIGKILL);
        held?.close();
      };
      // Only then, so that no look at it keeps this process alive.
      void copy.ended.then(() => processes.exitOf(pid)).catch(() => undefined);
      return copy;
    } catch (error) {
      closeSync(requests.writeEnd);
      closeSync(answers.readEnd);
      throw error;
    } finally {
      closeSync(requests.readEnd);
      closeSync(answers.writeEnd);
    }
  }

  /** @throws `EPIPE` when it is not known whether it has been started */
  start(kind: string, descriptors: Descriptors, words: readonly string[]): Promise<Answer> {
    const numbers = descriptors.map((one) => (one === 'null' ? '-' : one)).join(',');
    return new Promise((resolve, reject) => {
      const asker: Asker = { resolve, reject, isAsked: false };
      this.#askers.push(asker);
      this.#answers.ref();
      this.#requests.write(`${[kind, numbers, ...words.map(escaped)].join(' ')}\n`, (error) => {
        if (error) return resolve('unread');
        asker.isAsked = true;
        if (this.#answers.destroyed) reject(lost());
      });
    });
  }

  prime(): void {
    if (!this.#requests.destroyed) this.#requests.write('prime\n');
  }

  close(): void {
    this.#requests.end();
  }

  /** By force. Until it is seen to have ended its number is nobody else's. */
  end(): void {
    if (!this.#answers.destroyed) this.#kill();
  }
}

/** As our programs are told them: each name, and its number. */
const systemCalls = (): string[] =>
  Object.entries(SYSTEM_CALLS[arch()] ?? {})
    .flat()
    .map(String);

/** A word stays one, and is one also when it is empty. */
function escaped(word: string): string {
  const inHex = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  return `=${word.replace(/[% \n\r]/g, inHex)}`;
}

function lost(): Error {
  return Object.assign(new Error('EPIPE: what starts monitors has ended'), { code: 'EPIPE', syscall: 'write' });
}
