import { constants } from 'node:os';
import { isHangUpIgnored } from './hang-up.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type InterruptingSignal = (typeof SIGNALS)[number];

/** Why the abort signal fired: a signal of the operating system. */
export class Interruption extends Error {
  readonly signal: InterruptingSignal;

  constructor(signal: InterruptingSignal) {
    super(`cancelled by ${signal}`);
    this.name = 'Interruption';
    this.signal = signal;
  }

  /** What shells report for a process that the signal has ended: 129, 130, 143. */
  get exitStatus(): number {
    return 128 + constants.signals[this.signal];
  }
}

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort, so that the work under way is undone in order; a SIGINT or SIGTERM after it ends the process at once
 * and leaves the rest to the store's recovery.
 */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of SIGNALS) {
    const isIgnored = name === 'SIGHUP' && isHangUpIgnored();
    process.on(name, () => {
      if (isIgnored) return;
      const interruption = new Interruption(name);
      if (!controller.signal.aborted) controller.abort(interruption);
      // A terminal that goes away is told by the kernel and by the shell, and some send it along with a SIGTERM: that is no impatience.
      else if (name !== 'SIGHUP') process.exit(interruption.exitStatus);
    });
  }
  return controller.signal;
}
