import { Worker, type WorkerOptions } from 'node:worker_threads';
import { abortedError, ProvisionerError, throwIfAborted } from '../errors.js';
import { unpackError } from './error-transport.js';
import { type FromWorker, type JobKind, type Jobs, type ToWorker, type WorkerData, waitsForNetwork } from './jobs.js';

export interface JobOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called when a thread takes the job up: until then it waits for one. */
  readonly onStart?: (() => void) | undefined;
  /** Stored bytes read so far; at most ten times a second. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

interface Job {
  readonly kind: JobKind;
  readonly request: Jobs[JobKind]['request'];
  readonly options: JobOptions;
  /** Shared with the thread; see `ToWorker`. */
  readonly cancelled: Int32Array;
  readonly resolve: (result: Jobs[JobKind]['result']) => void;
  readonly reject: (error: unknown) => void;
}

/** An idle thread is kept so long, in milliseconds: the next layer often comes soon, and a thread takes 15 MB. */
const IDLE_TIME = 5_000;

/**
 * A thread leaves a trail of short-lived buffers, whose memory is given back when the young generation is collected: with a sixth of the room that Node gives
 * it, a pull of 650 MB takes 25 MB less at its peak than with a third, and 4 % more time.
 */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 8 };

/**
 * Worker threads for the long synchronous work. A thread is started when a job finds none idle, and has one job at a time; jobs that
 * find the pool full wait, first come first served. Idle threads do not keep the process alive.
 *
 * How long a layer takes that is fetched is up to a registry. While all threads are busy with such, one more thread does the jobs that need no network, one after the other: a registry that
 * sends next to nothing holds up nobody who does not want anything from one.
 *
 * A cancelled job settles only when its thread has let go of it, so that whoever cleans up after it is alone.
 */
export class WorkerPool {
  readonly #size: number;
  readonly #waiting: Job[] = [];
  readonly #idle = new Map<Worker, NodeJS.Timeout>();
  readonly #busy = new Map<Worker, Job>();
  /** How many those are, for the threads to see. */
  readonly #busyCount = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  /** Threads that are loading what they need, and must not be ended; each with what tells when they are done. */
  readonly #loading = new Map<Worker, PromiseWithResolvers>();
  #closed = false;

  /** @param size threads at most, at least one; the one beyond it is not counted */
  constructor(size: number) {
    this.#size = size;
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
    const room = this.#size - this.#busy.size;
    while (!this.#closed && this.#idle.size < Math.min(count, room)) {
      const worker = this.#spawn();
      send(worker, { type: 'prepare' });
      this.#rest(worker);
    }
  }

  /** Ends all threads; jobs that wait or run are rejected with `ERR_CLOSED`. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of this.#waiting.splice(0)) job.reject(closedError());
    const workers = [...this.#idle.keys(), ...this.#busy.keys()];
    for (const timer of this.#idle.values()) clearTimeout(timer);
    this.#idle.clear();
    await Promise.all(
      workers.map(async (worker) => {
        await this.#loading.get(worker)?.promise;
        await worker.terminate();
      }),
    );
  }

  #dispatch(): void {
    for (let job = this.#takeJob(); job !== undefined; job = this.#takeJob()) this.#start(this.#takeWorker(), job);
  }

  /** @returns the next one that there is a thread for */
  #takeJob(): Job | undefined {
    if (this.#busy.size < this.#size) return this.#waiting.shift();
    if (![...this.#busy.values()].every(fetches)) return undefined;
    const index = this.#waiting.findIndex((job) => !fetches(job));
    return index === -1 ? undefined : this.#waiting.splice(index, 1)[0];
  }

  #takeWorker(): Worker {
    const [idle] = this.#idle;
    if (idle === undefined) return this.#spawn();
    const [worker, timer] = idle;
    clearTimeout(timer);
    this.#idle.delete(worker);
    return worker;
  }

  #spawn(): Worker {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      ...workerOptions(process.execArgv),
      workerData: { busy: this.#busyCount } satisfies WorkerData,
    });
    this.#loading.set(worker, withResolvers());
    worker.on('message', (message: FromWorker) => this.#receive(worker, message));
    worker.on('error', (error) => this.#died(worker, error));
    worker.on('exit', () => this.#died(worker, undefined));
    return worker;
  }

  #start(worker: Worker, job: Job): void {
    this.#busy.set(worker, job);
    this.#countBusy();
    worker.ref();
    const { kind, request, cancelled } = job;
    send(worker, { type: 'run', kind, request, cancelled });
    job.options.onStart?.();
  }

  #receive(worker: Worker, message: FromWorker): void {
    if (message.type === 'ready') {
      this.#loaded(worker);
      return;
    }
    const job = this.#busy.get(worker);
    if (job === undefined) return;
    if (message.type === 'progress') {
      job.options.onProgress?.(message.bytes);
      return;
    }
    this.#busy.delete(worker);
    this.#countBusy();
    this.#rest(worker);
    if (message.type === 'done') job.resolve(message.result);
    else if (job.options.signal?.aborted) job.reject(abortedError(job.options.signal));
    else job.reject(unpackError(message.error));
    this.#dispatch();
  }

  #countBusy(): void {
    Atomics.store(this.#busyCount, 0, this.#busy.size);
  }

  #rest(worker: Worker): void {
    // Whoever closes the pool waits for its end, and the process must not be over before that.
    if (this.#closed) return;
    if (!this.#loading.has(worker)) worker.unref();
    const timer = setTimeout(() => {
      this.#idle.delete(worker);
      void worker.terminate();
    }, IDLE_TIME);
    timer.unref();
    this.#idle.set(worker, timer);
  }

  #loaded(worker: Worker): void {
    this.#loading.get(worker)?.resolve();
    this.#loading.delete(worker);
    if (this.#idle.has(worker)) worker.unref();
  }

  /** A thread that ends on its own takes its job with it, and nothing else. */
  #died(worker: Worker, error: unknown): void {
    this.#loaded(worker);
    clearTimeout(this.#idle.get(worker));
    this.#idle.delete(worker);
    const job = this.#busy.get(worker);
    this.#busy.delete(worker);
    this.#countBusy();
    if (job !== undefined) job.reject(this.#closed ? closedError() : deathError(job.kind, error));
    if (!this.#closed) this.#dispatch();
  }

  #cancel(job: Job): void {
    const index = this.#waiting.indexOf(job);
    if (index !== -1) {
      this.#waiting.splice(index, 1);
      job.reject(abortedError(job.options.signal as AbortSignal));
      return;
    }
    Atomics.store(job.cancelled, 0, 1);
    for (const [worker, running] of this.#busy) if (running === job) send(worker, { type: 'cancel' });
  }
}

function fetches({ kind, request }: Job): boolean {
  return waitsForNetwork(kind, request);
}

interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function withResolvers(): PromiseWithResolvers {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/**
 * What Node itself was told goes for its threads too, by itself; options of V8, such as `--max-old-space-size`, may not even be repeated for them.
 * But `--input-type`, which speaks of code on the command line, ends a thread that has a file: then only what may be repeated is.
 */
function workerOptions(options: readonly string[]): WorkerOptions {
  if (!options.some((option) => option.startsWith('--input-type'))) return { resourceLimits: RESOURCE_LIMITS };
  const others = options.filter(
    (option, index) => !option.startsWith('--input-type') && options[index - 1] !== '--input-type',
  );
  return { execArgv: others, resourceLimits: RESOURCE_LIMITS };
}

function send(worker: Worker, message: ToWorker): void {
  worker.postMessage(message);
}

function closedError(): ProvisionerError {
  return new ProvisionerError('ERR_CLOSED', 'the provisioner has been closed');
}

function deathError(kind: JobKind, cause: unknown): ProvisionerError {
  return new ProvisionerError('ERR_WORKER_DIED', `a worker thread died during its job ${kind}`, {
    cause,
    hint: 'the machine may be short of memory; the job left nothing behind and can be tried again',
    details: { job: kind },
  });
}
