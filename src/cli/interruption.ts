import { constants } from 'node:os';

/** Why the abort signal fired: a signal of the operating system. */
export class Interruption extends Error {
  readonly signal: 'SIGINT' | 'SIGTERM';

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`cancelled by ${signal}`);
    this.name = 'Interruption';
    this.signal = signal;
  }

  /** What shells report for a process that the signal has ended: 130, 143. */
  get exitStatus(): number {
    return 128 + constants.signals[this.signal];
  }
}

/**
 * Turns the first SIGINT or SIGTERM into an abort, so that the work under way is undone in order; a second one ends the process at once
 * and leaves the rest to the store's recovery.
 */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      const interruption = new Interruption(name);
      if (controller.signal.aborted) process.exit(interruption.exitStatus);
      controller.abort(interruption);
    });
  }
  return controller.signal;
}
