import { constants } from 'node:os';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { signalNumber } from '#src/containerizer/signal-number.js';
import type { PausableTime } from './fake-clock.js';

/** What a program does, as a function. @returns its exit code */
export type FakeProgram = (process: FakeProcess) => Promise<number> | number;

/** Either a code, or a signal. */
export interface FakeEnd {
  readonly code?: number;
  readonly signal?: number;
  readonly isOutOfMemory?: true;
}

export interface FakeSurroundings {
  /** As its machine numbers it, and as its container does. */
  readonly pid: number;
  readonly pidInside: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly uid: number;
  readonly gid: number;
  readonly workingDir: string;
  readonly hostname: string;
  /** Of the container: what its programs have made. */
  readonly files: Set<string>;
  /** Of the container: programs that it has no more. */
  readonly removedPrograms: Set<string>;
  readonly time: PausableTime;
  readonly memoryLimit: () => number | undefined;
  readonly print: (stream: 'stdout' | 'stderr', text: string) => void;
  /** Commands of all that runs in the container. */
  readonly running: () => readonly (readonly string[])[];
  /** A process more in the container, that of nobody who waits for it. */
  readonly spawn: (command: readonly string[], program: FakeProgram) => void;
  /** The first process of a container is deaf to signals that it does not handle. */
  readonly isFirst: boolean;
}

/** A program that runs once it is begun, as it sees itself. After its end nothing that it does has an effect, and what it waits for never comes. */
export class FakeProcess {
  readonly #surroundings: FakeSurroundings;
  readonly #handlers = new Map<number, () => number | undefined>();
  readonly #held: number[] = [];
  readonly #input = new PassThrough();
  readonly #program: FakeProgram;
  #end: ((end: FakeEnd) => void) | undefined;
  readonly ended: Promise<FakeEnd>;

  constructor(surroundings: FakeSurroundings, program: FakeProgram) {
    this.#surroundings = surroundings;
    this.#program = program;
    this.ended = new Promise((resolve) => {
      this.#end = (end) => {
        this.#end = undefined;
        resolve(end);
      };
    });
  }

  begin(): this {
    // A program that throws has failed, as a shell would say.
    void Promise.resolve()
      .then(() => (this.hasEnded ? 0 : this.#program(this)))
      .then(
        (code) => this.#end?.({ code: code & 0xff }),
        () => this.#end?.({ code: 1 }),
      );
    return this;
  }

  get hasEnded(): boolean {
    return this.#end === undefined;
  }
  get pid(): number {
    return this.#surroundings.pid;
  }
  get pidInside(): number {
    return this.#surroundings.pidInside;
  }
  get startedAt(): number {
    return this.#surroundings.startedAt;
  }
  get command(): readonly string[] {
    return this.#surroundings.command;
  }
  get env(): Readonly<Record<string, string>> {
    return this.#surroundings.env;
  }
  get uid(): number {
    return this.#surroundings.uid;
  }
  get gid(): number {
    return this.#surroundings.gid;
  }
  get workingDir(): string {
    return this.#surroundings.workingDir;
  }
  get hostname(): string {
    return this.#surroundings.hostname;
  }
  get files(): Set<string> {
    return this.#surroundings.files;
  }
  get running(): readonly (readonly string[])[] {
    return this.#surroundings.running();
  }
  get stdin(): Readable {
    return this.#input;
  }
  /** The other end of `stdin`. */
  get input(): Writable {
    return this.#input;
  }

  /** It goes on when this one has ended, unless this is the container's first. */
  spawn(command: readonly string[], program: FakeProgram): void {
    if (!this.hasEnded) this.#surroundings.spawn(command, program);
  }

  print(text: string, stream: 'stdout' | 'stderr' = 'stdout'): void {
    if (!this.hasEnded) this.#surroundings.print(stream, text);
  }

  /** From its container: it cannot be started there any more. */
  removeProgram(name: string): void {
    this.#surroundings.removedPrograms.add(name);
  }

  /** The time that the container is paused does not count. */
  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const giveUp = this.#surroundings.time.after(milliseconds, () => {
        if (!this.hasEnded) resolve();
      });
      void this.ended.then(giveUp);
    });
  }

  /** Runs until it is ended. */
  forEver(): Promise<never> {
    return new Promise(() => {});
  }

  /** @param handle gives the code that it ends with, or nothing to go on */
  on(signal: string, handle: () => number | undefined): void {
    this.#handlers.set(signalNumber(signal), handle);
  }

  ignore(...signals: readonly string[]): void {
    for (const signal of signals) this.on(signal, () => undefined);
  }

  take(bytes: number): void {
    const limit = this.#surroundings.memoryLimit();
    if (limit !== undefined && bytes > limit) this.#end?.({ signal: constants.signals.SIGKILL, isOutOfMemory: true });
  }

  /** As somebody outside does. What is paused heeds it when it goes on, but for SIGKILL. */
  send(signal: number): void {
    if (signal === constants.signals.SIGKILL) this.#end?.({ signal });
    else if (this.#surroundings.time.isPaused) this.#held.push(signal);
    else this.#heed(signal);
  }

  /** Once its container goes on. */
  heedHeld(): void {
    for (const signal of this.#held.splice(0)) this.#heed(signal);
  }

  #heed(signal: number): void {
    const handle = this.#handlers.get(signal);
    if (handle === undefined) {
      if (!this.#surroundings.isFirst) this.#end?.({ signal });
      return;
    }
    const code = handle();
    if (code !== undefined) this.#end?.({ code });
  }
}
