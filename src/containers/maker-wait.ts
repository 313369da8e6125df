import { ProvisionerError } from '../base/errors.js';

export interface MakerWaitOptions {
  /** After so many milliseconds the wait ends with `ERR_LOCK_TIMEOUT`. Default: it goes on as long as it takes. */
  readonly timeout?: number | undefined;
  /** What is long, in milliseconds. Default: 5000. */
  readonly longWait?: number | undefined;
  /** Called once in a wait that takes long. @param pid of who makes it, in his own PID namespace */
  readonly onLongWait: (containerId: string, pid: number, waited: number) => void;
}

const LONG_WAIT = 5000;

/** The wait for a process that is copying a root filesystem of a container: it may be stopped, and then it takes as long as it likes. */
export class MakerWait {
  readonly #containerId: string;
  readonly #options: MakerWaitOptions;
  readonly #started = performance.now();
  #told = false;

  constructor(containerId: string, options: MakerWaitOptions) {
    this.#containerId = containerId;
    this.#options = options;
  }

  /** @param pid of who makes it @throws ProvisionerError `ERR_LOCK_TIMEOUT` when it has been long enough */
  goOn(pid: number): void {
    const { timeout, longWait = LONG_WAIT, onLongWait } = this.#options;
    const waited = performance.now() - this.#started;
    if (timeout !== undefined && waited >= timeout) throw stillBeingMade(this.#containerId, pid, waited);
    if (this.#told || waited < longWait) return;
    this.#told = true;
    onLongWait(this.#containerId, pid, waited);
  }
}

function stillBeingMade(containerId: string, pid: number, waited: number): ProvisionerError {
  return new ProvisionerError(
    'ERR_LOCK_TIMEOUT',
    `process ${pid} was still making a root filesystem of container ${containerId} after ${Math.round(waited)} ms`,
    {
      hint: `wait until it is done; continue it when it is stopped (kill -CONT ${pid}), or end it`,
      details: { containerId, pid, waited: Math.round(waited) },
    },
  );
}
