import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { ensureOwnDirectory } from '../../base/own-files.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';

/** Milliseconds between looks whether the turn has come; a driver takes a tenth of a second. */
const LOOK_AGAIN = 5;

/** One at a time for all stores of the machine: drivers look for rules of theirs before they make them, and two at a time make them twice. */
export class MachineTurn {
  readonly #directory: string;
  readonly #syscalls: Syscalls;
  #held: number | undefined;

  /** @param directory of this boot and of all stores; absolute */
  constructor(directory: string, syscalls: Syscalls) {
    this.#directory = directory;
    this.#syscalls = syscalls;
  }

  /** Of the lock, while this process has the turn: whoever is given it keeps the turn until he ends. */
  get descriptor(): number | undefined {
    return this.#held;
  }

  /** @param patience milliseconds @throws ProvisionerError `ERR_NETWORK_FAILED` when the turn does not come in that time, `ERR_ABORTED`; what the work throws */
  async take<T>(work: () => Promise<T>, patience: number, signal?: AbortSignal | undefined): Promise<T> {
    ensureOwnDirectory(this.#directory);
    const lock = this.#syscalls.openLockFile(join(this.#directory, 'networks.lock'));
    const late = performance.now() + patience;
    try {
      while (!lock.tryLock('exclusive')) {
        throwIfAborted(signal);
        if (performance.now() > late) throw busy(lock.holders().map(({ pid }) => pid));
        await sleep(LOOK_AGAIN);
      }
      this.#held = lock.descriptor;
      return await work();
    } finally {
      if (this.#held === lock.descriptor) this.#held = undefined;
      lock.close();
    }
  }
}

function busy(holders: readonly number[]): ProvisionerError {
  const who = holders.length === 0 ? 'somebody' : `the process ${holders.join(', ')}`;
  return new ProvisionerError(
    'ERR_NETWORK_FAILED',
    `${who} is at the networks of this machine, and does not come to an end`,
    {
      hint: 'see whether it has been stopped, and let it go on',
      details: { processes: holders.map(String) },
    },
  );
}
