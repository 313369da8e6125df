import type { Transferable } from 'node:worker_threads';
import {
  abortedError,
  descriptorShortage,
  firstLine,
  isProvisionerError,
  noDescriptors,
  ProvisionerError,
  throwIfAborted,
} from '../base/errors.js';
import { unpackError } from './error-transport.js';
import { IdleProcessors, LOOK_INTERVAL, type ProcessorClock } from './idle-processors.js';
import { type FromWorker, type JobKind, type Jobs, type Places, placesOf } from './jobs.js';
import { MemoryBudget } from './memory-budget.js';
import { PoolThread } from './pool-thread.js';

export interface JobOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called when a thread takes the job up: until then it waits for one. */
  readonly onStart?: (() => void) | undefined;
  /** Stored bytes read so far; at most ten times a second. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** What of the request the thread gets for its own. */
  readonly transfer?: readonly Transferable[] | undefined;
}

export interface PoolOptions {
  /** Threads at most that wait for a network at a time, beside the others. Default: as many as those. */
  readonly downloads?: number;
  readonly clock?: ProcessorClock;
  /** Milliseconds in which a thread has to answer when its job is cancelled; then it is ended. Default 5000. */
  readonly patience?: number;
  /** What its threads run. Default: `worker.js`. */
  readonly program?: URL;
}

interface Job {
  readonly kind: JobKind;
  readonly request: Jobs[JobKind]['request'];
  readonly options: JobOptions;
  /** Shared with the thread; see `ToWorker`. */
  readonly cancelled: Int32Array;
  readonly resolve: (result: Jobs[JobKind]['result']) => void;
  readonly reject: (error: unknown) => void;
  /** Runs once it has been cancelled. */
  watchdog?: NodeJS.Timeout;
}

type FromThread = Exclude<FromWorker, { readonly type: 'ready' }>;

/** An idle thread is kept so long, in milliseconds: the next layer often comes soon, and a thread takes 15 MB. */
const IDLE_TIME = 5_000;
/** Between two pieces of whatever it does, a thread looks whether its job was cancelled; none of them takes a second. */
const PATIENCE = 5_000;
/** Archives that are read at a time; others begin when one of these has come to its end. */
const READERS = 16;
/** Looks at what somebody has written at a time: all of them together take one processor at most. */
const LOOKS = 1;
/** For all threads, in bytes: one window of the largest size that is taken, or several smaller ones. */
const SHARED_MEMORY = 128 * 1024 * 1024;

/**
 * Worker threads for the long synchronous work. A thread is started when a job finds none idle, and has one job at a time; jobs that
 * find the pool full wait, first come first served. Idle threads do not keep the process alive.
 *
 * How long a layer takes that is fetched is up to a registry, and how long an archive up to who reads it; while they are waited for they take no processor. So jobs that wait for a network, those that wait for
 * a reader, and those that do not wait are counted apart, and no kind holds up another. Of the first there are more than the pool's size when the network is what they wait for: see `IdleProcessors`.
 *
 * A cancelled job settles only when its thread has let go of it, so that whoever cleans up after it is alone. One that does not let go, because something foreign
 * makes it go round, is ended, and another thread takes its place.
 */
export class WorkerPool {
  readonly #size: number;
  readonly #downloads: number;
  readonly #processors: IdleProcessors;
  /** Jobs that may wait for a network at a time, as far as they leave the processors idle. */
  #allowed: number;
  #looking: NodeJS.Timeout | undefined;
  readonly #patience: number;
  readonly #program: URL | undefined;
  readonly #waiting: Job[] = [];
  readonly #idle = new Map<PoolThread, NodeJS.Timeout>();
  readonly #busy = new Map<PoolThread, Job>();
  /** How many those are, for the threads to see. */
  readonly #busyCount = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  readonly #memory = new MemoryBudget<PoolThread>(SHARED_MEMORY);
  /** The system has let no other thread begin, since the last one of ours was free. */
  #isFull = false;
  #closed = false;

  /** @param size threads at most, at least one, for what waits for no network */
  constructor(size: number, { downloads = size, clock, patience = PATIENCE, program }: PoolOptions = {}) {
    this.#size = size;
    this.#downloads = downloads;
    this.#allowed = size;
    this.#processors = new IdleProcessors(size, clock);
    this.#patience = patience;
    this.#program = program;
  }

  get size(): number {
    return this.#size;
  }

  /** @throws what the job throws; `ERR_ABORTED`, `ERR_WORKER_DIED`, `ERR_CLOSED` */
  async run<Kind extends JobKind>(
    kind: Kind,
    request: Jobs[Kind]['request'],
    options: JobOptions = {},
  ): Promise<Jobs[Kind]['result']> {
    const { signal } = options;
    throwIfAborted(signal);
    if (this.#closed) throw closedError();
    let cancel: () => void = () => {};
    try {
      return await new Promise((resolve, reject) => {
        const cancelled = new Int32Array(new SharedArrayBuffer(4));
        const job: Job = { kind, request, options, cancelled, resolve, reject };
        cancel = () => this.#cancel(job);
        signal?.addEventListener('abort', cancel, { once: true });
        this.#waiting.push(job);
        this.#dispatch();
      });
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** Starts threads for layers of a registry that will come in a moment, unless there are so many idle ones. They end when none comes. @param count at most */
  prepare(count: number): void {
    const room = this.#room('network');
    try {
      this.#prepare(Math.min(count, room));
    } catch {
      // The job that comes will say so, if there is none for it.
    }
  }

  #prepare(count: number): void {
    while (!this.#closed && this.#idle.size < count) {
      const thread = this.#spawn();
      thread.send({ type: 'prepare' });
      this.#rest(thread);
    }
  }

  /** Ends all threads; jobs that wait or run are rejected with `ERR_CLOSED`. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of this.#waiting.splice(0)) job.reject(closedError());
    clearInterval(this.#looking);
    const threads = [...this.#idle.keys(), ...this.#busy.keys()];
    for (const timer of this.#idle.values()) clearTimeout(timer);
    this.#idle.clear();
    await Promise.all(threads.map((thread) => thread.end()));
  }

  #dispatch(): void {
    for (let job = this.#takeJob(); job !== undefined; job = this.#takeJob()) {
      const thread = this.#threadFor(job);
      if (thread !== undefined) this.#start(thread, job);
    }
    this.#look();
  }

  /** Where the system lets no other thread begin, those that there are go on, and the job waits for one of them. @returns undefined then, and when there are none and the job has failed */
  #threadFor(job: Job): PoolThread | undefined {
    try {
      return this.#takeThread();
    } catch (error) {
      this.#isFull = true;
      if (this.#busy.size > 0) this.#waiting.unshift(job);
      else job.reject(deathError(job.kind, error));
      return undefined;
    }
  }

  /** Looks what the jobs at work take of the processors, as long as others wait that might begin beside them. */
  #look(): void {
    const wanted = this.#waiting.some(fetches) && this.#taken('network') < this.#downloads;
    if (!wanted) {
      clearInterval(this.#looking);
      this.#looking = undefined;
      this.#allowed = this.#size;
    } else if (this.#looking === undefined) {
      this.#processors.begin();
      this.#looking = setInterval(() => {
        this.#allowed = this.#processors.jobs(this.#busy.size);
        this.#dispatch();
      }, LOOK_INTERVAL).unref();
    }
  }

  /** @returns the next one that there is a thread for */
  #takeJob(): Job | undefined {
    if (this.#waiting.length === 0) return undefined;
    if (this.#isFull && this.#idle.size === 0 && this.#busy.size > 0) return undefined;
    // Once for each kind, however many wait.
    const room = {
      processors: this.#room('processors'),
      network: this.#room('network'),
      readers: this.#room('readers'),
      limits: this.#room('limits'),
    };
    const index = this.#waiting.findIndex((job) => room[placesOf(job.kind, job.request)] > 0);
    return index === -1 ? undefined : this.#waiting.splice(index, 1)[0];
  }

  /** How many more of a kind may begin. */
  #room(places: Places): number {
    const most = {
      processors: this.#size,
      network: Math.min(this.#downloads, this.#allowed),
      readers: READERS,
      limits: LOOKS,
    };
    return most[places] - this.#taken(places);
  }

  #taken(places: Places): number {
    let taken = 0;
    for (const { kind, request } of this.#busy.values()) if (placesOf(kind, request) === places) taken++;
    return taken;
  }

  #takeThread(): PoolThread {
    const [idle] = this.#idle;
    if (idle === undefined) return this.#spawn();
    const [thread, timer] = idle;
    clearTimeout(timer);
    this.#idle.delete(thread);
    return thread;
  }

  #spawn(): PoolThread {
    const thread: PoolThread = new PoolThread(
      this.#busyCount,
      {
        ready: () => {
          if (this.#idle.has(thread)) thread.unref();
        },
        message: (message) => this.#receive(thread, message),
        ended: (error) => this.#died(thread, error),
      },
      this.#program,
    );
    return thread;
  }

  #start(thread: PoolThread, job: Job): void {
    this.#busy.set(thread, job);
    this.#countBusy();
    thread.ref();
    const { kind, request, cancelled, options } = job;
    thread.send({ type: 'run', kind, request, cancelled }, options.transfer);
    options.onStart?.();
  }

  #receive(thread: PoolThread, message: FromThread): void {
    const job = this.#busy.get(thread);
    if (job === undefined) return;
    switch (message.type) {
      case 'progress':
        job.options.onProgress?.(message.bytes);
        return;
      case 'take-memory': {
        const { bytes, ticket } = message;
        this.#memory.take(thread, bytes, () => thread.send({ type: 'memory', ticket }));
        return;
      }
      case 'give-memory':
        this.#memory.giveBack(thread);
        return;
    }
    this.#letGo(thread);
    // Else it has answered after all, when its end was decided.
    if (!thread.isEnding) this.#rest(thread);
    if (message.type === 'done') job.resolve(message.result);
    else if (job.options.signal?.aborted) job.reject(abortedError(job.options.signal));
    else job.reject(unpackError(message.error));
    this.#dispatch();
  }

  /** What a thread has for its job. */
  #letGo(thread: PoolThread): void {
    this.#isFull = false;
    clearTimeout(this.#busy.get(thread)?.watchdog);
    this.#busy.delete(thread);
    this.#memory.giveBack(thread);
    this.#countBusy();
  }

  #countBusy(): void {
    Atomics.store(this.#busyCount, 0, this.#busy.size);
  }

  #rest(thread: PoolThread): void {
    // Whoever closes the pool waits for its end, and the process must not be over before that.
    if (this.#closed) return;
    if (thread.isReady) thread.unref();
    const timer = setTimeout(() => {
      this.#idle.delete(thread);
      void thread.end();
    }, IDLE_TIME);
    timer.unref();
    this.#idle.set(thread, timer);
  }

  /** A thread that ends on its own takes its job with it, and nothing else. */
  #died(thread: PoolThread, error: unknown): void {
    clearTimeout(this.#idle.get(thread));
    this.#idle.delete(thread);
    const job = this.#busy.get(thread);
    this.#letGo(thread);
    if (job !== undefined) job.reject(this.#endOf(job, error));
    if (!this.#closed) this.#dispatch();
  }

  #endOf({ kind, options: { signal } }: Job, error: unknown): ProvisionerError {
    if (signal?.aborted) return abortedError(signal);
    return this.#closed ? closedError() : deathError(kind, error);
  }

  #cancel(job: Job): void {
    const index = this.#waiting.indexOf(job);
    if (index !== -1) {
      this.#waiting.splice(index, 1);
      job.reject(abortedError(job.options.signal as AbortSignal));
      return;
    }
    Atomics.store(job.cancelled, 0, 1);
    for (const [thread, running] of this.#busy) {
      if (running !== job) continue;
      thread.send({ type: 'cancel' });
      job.watchdog = setTimeout(() => void thread.end(), this.#patience);
    }
  }
}

function fetches({ kind, request }: Job): boolean {
  return placesOf(kind, request) === 'network';
}

function closedError(): ProvisionerError {
  return new ProvisionerError('ERR_CLOSED', 'the provisioner has been closed');
}

function deathError(kind: JobKind, cause: unknown): ProvisionerError {
  const shortage = shortageOf(cause);
  if (shortage !== undefined) return noDescriptors(`start a thread for the job ${kind}`, shortage, cause);
  if (isProvisionerError(cause)) return cause;
  if ((cause as NodeJS.ErrnoException | undefined)?.code === 'ERR_WORKER_INIT_FAILED') {
    return new ProvisionerError(
      'ERR_WORKER_DIED',
      `no thread can be started for the job ${kind}: ${firstLine(cause)}`,
      {
        cause,
        hint: 'allow the user, or the control group, more processes and threads (ulimit -u, pids.max), and try again',
        details: { job: kind },
      },
    );
  }
  return new ProvisionerError('ERR_WORKER_DIED', `a worker thread died during its job ${kind}`, {
    cause,
    hint: 'the machine may be short of memory; the job left nothing behind and can be tried again',
    details: { job: kind },
  });
}

/** Of a thread that had no descriptors to begin with: Node says so in its message, and it in its own error. */
function shortageOf(cause: unknown): 'EMFILE' | 'ENFILE' | undefined {
  const { code, details } = (cause ?? {}) as Partial<ProvisionerError>;
  if (code !== 'ERR_NO_DESCRIPTORS') return descriptorShortage(cause);
  return details?.['errno'] === 'ENFILE' ? 'ENFILE' : 'EMFILE';
}
