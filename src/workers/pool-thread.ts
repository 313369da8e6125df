import { setTimeout as sleep } from 'node:timers/promises';
import { type Transferable, Worker, type WorkerOptions } from 'node:worker_threads';
import { firstLine, ProvisionerError } from '../base/errors.js';
import { leaveDeletedDirectory } from '../base/working-directory.js';
import { mayBeEnded, newLoadingState } from '../system/native-loading.js';
import { closeNoted, newDescriptorBoard } from '../system/syscalls/held-descriptors.js';
import type { FromWorker, ToWorker, WorkerData } from './jobs.js';

/**
 * A thread leaves a trail of short-lived buffers, whose memory is given back when the young generation is collected: with a sixth of the room that Node gives
 * it, a pull of 650 MB takes 25 MB less at its peak than with a third, and 4 % more time.
 */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 8 };
/** Between two looks at whether it is still loading, in milliseconds. */
const LOADING_POLL = 5;

export interface ThreadEvents {
  /** It has loaded what it needs to begin with. */
  readonly ready: () => void;
  readonly message: (message: Exclude<FromWorker, { readonly type: 'ready' }>) => void;
  /** It is no more. @param error what it died of, if that is known */
  readonly ended: (error: unknown) => void;
}

/** A worker thread, and what of it is shared with this one. */
export class PoolThread {
  readonly #worker: Worker;
  readonly #loading = newLoadingState();
  readonly #descriptors = newDescriptorBoard();
  readonly #ready = withResolvers();
  #isReady = false;
  #ending: Promise<void> | undefined;

  /** @param busy see `WorkerData` @param program what it runs. Default: `worker.js` */
  constructor(busy: Int32Array, { ready, message, ended }: ThreadEvents, program?: URL) {
    leaveDeletedDirectory();
    this.#worker = startWorker(program, {
      ...workerOptions(process.execArgv),
      workerData: { busy, loading: this.#loading, descriptors: this.#descriptors } satisfies WorkerData,
    });
    const setReady = () => {
      this.#isReady = true;
      this.#ready.resolve();
    };
    let error: unknown;
    this.#worker.on('message', (received: FromWorker) => {
      if (received.type !== 'ready') return message(received);
      setReady();
      ready();
    });
    this.#worker.on('error', (cause) => {
      error = takenApart(cause) ?? cause;
    });
    this.#worker.on('exit', () => {
      setReady();
      closeNoted(this.#descriptors);
      ended(error);
    });
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** It gets no more jobs. */
  get isEnding(): boolean {
    return this.#ending !== undefined;
  }

  send(message: ToWorker, transfer: readonly Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** The process is not over as long as it runs. */
  ref(): void {
    this.#worker.ref();
  }

  unref(): void {
    this.#worker.unref();
  }

  /** Ends it, whatever it is doing: not before it has loaded what it is loading, since that would take the whole process along. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    await this.#ready.promise;
    while (!mayBeEnded(this.#loading)) await sleep(LOADING_POLL);
    await this.#worker.terminate();
  }
}

function startWorker(program: URL | undefined, options: WorkerOptions): Worker {
  if (program !== undefined) return new Worker(program, options);
  try {
    // Bundlers that take a thread's file along know it by these very words.
    return new Worker(new URL('./worker.js', import.meta.url), options);
  } catch (error) {
    throw takenApart(error) ?? error;
  }
}

/** What to say of a thread whose program, or what that imports, is not where it was; or of code that does not know where it is, as some bundlers leave it. */
function takenApart(cause: unknown): ProvisionerError | undefined {
  const { code } = cause as NodeJS.ErrnoException;
  if (!['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND', 'ERR_INVALID_URL'].includes(code ?? '')) return undefined;
  return new ProvisionerError('ERR_WORKER_DIED', `no worker thread can be started: ${firstLine(cause)}`, {
    cause,
    hint: 'if a bundler has taken the library apart, keep `provisioner` external to the bundle, or copy worker*.js of its dist/ beside the bundle',
  });
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
