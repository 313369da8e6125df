import { ProvisionerError } from '../../base/errors.js';
import type { StoreLockState } from './store-lock-state.js';

/** A process that others wait for at the lock. */
export interface LockBlocker {
  readonly pid: number;
  /** What it does, where it says so. */
  readonly purpose: string | undefined;
  readonly stopped: boolean;
}

/** Whom those wait for who want the lock: its holders; while it has none that can be seen, the writer whose turn it is. A writer that only waits is none of them. */
export function blockersOf({ holders, writer }: StoreLockState): LockBlocker[] {
  // A writer of this process that waits too sees no holder where /proc/locks hides those of other containers.
  if (holders.length === 0) return writer === undefined || writer.pid === process.pid ? [] : [writer];
  return holders.map(({ pid, kind, stopped }) => {
    const purpose = kind === 'exclusive' && pid === writer?.pid ? writer.purpose : undefined;
    return { pid, purpose, stopped };
  });
}

/** `process 12 (prune, stopped) and process 13`. */
export function describeBlockers(blockers: readonly LockBlocker[]): string {
  if (blockers.length === 0) return 'another process';
  return blockers
    .map(({ pid, purpose, stopped }) => {
      const notes = [purpose, stopped ? 'stopped' : undefined].filter((note) => note !== undefined).join(', ');
      return `${pid === process.pid ? 'this process' : 'process'} ${pid}${notes === '' ? '' : ` (${notes})`}`;
    })
    .join(' and ');
}

/** @param waited milliseconds */
export function lockTimeoutError(waited: number, state: StoreLockState): ProvisionerError {
  const blockers = blockersOf(state);
  const stopped = blockers.filter((blocker) => blocker.stopped).map(({ pid }) => String(pid));
  return new ProvisionerError(
    'ERR_LOCK_TIMEOUT',
    `the store's lock did not come free within ${Math.round(waited)} ms, held by ${describeBlockers(blockers)}`,
    {
      hint:
        stopped.length === 0
          ? 'wait until that is done, or allow a longer wait with lockTimeout (--lock-timeout)'
          : `continue what is stopped (kill -CONT ${stopped.join(' ')}), or end it`,
      details: { waited: Math.round(waited), holders: blockers.map(({ pid }) => String(pid)), stopped },
    },
  );
}
