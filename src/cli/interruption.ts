import { constants } from 'node:os';
import { isHangUpIgnored } from './hang-up.js';

/** Milliseconds that what is to be done before an impatient end may take. */
const LAST_MOMENT = 1000;

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

export interface Interruptions {
  /** Aborts with an `Interruption`. */
  readonly signal: AbortSignal;
  /** @see HostProcess */
  readonly beforeImpatientEnd: (deed: () => Promise<unknown>) => () => void;
}

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort, so that the work under way is undone in order; a SIGINT or SIGTERM after it ends the process at once
 * and leaves the rest to the store's recovery. What would not end with this process may be ended before, by whoever asked for that.
 */
export function abortOnSignals(): Interruptions {
  const controller = new AbortController();
  const deeds = new Set<() => Promise<unknown>>();
  for (const name of SIGNALS) {
    const isIgnored = name === 'SIGHUP' && isHangUpIgnored();
    process.on(name, () => {
      if (isIgnored) return;
      const interruption = new Interruption(name);
      if (!controller.signal.aborted) controller.abort(interruption);
      // A terminal that goes away is told by the kernel and by the shell, and some send it along with a SIGTERM: that is no impatience.
      else if (name !== 'SIGHUP') endNow(interruption);
    });
  }
  const endNow = ({ exitStatus }: Interruption) => {
    const end = () => process.exit(exitStatus);
    if (deeds.size === 0) end();
    setTimeout(end, LAST_MOMENT);
    const all = [...deeds].map((deed) => deed());
    // Whoever is more impatient still waits for nothing.
    deeds.clear();
    void Promise.allSettled(all).then(end);
  };
  return {
    signal: controller.signal,
    beforeImpatientEnd: (deed) => {
      deeds.add(deed);
      return () => void deeds.delete(deed);
    },
  };
}
