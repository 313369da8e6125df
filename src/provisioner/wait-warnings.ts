import type { ProvisionerEmitter } from '../events.js';
import { blockersOf, describeBlockers, type LockBlocker } from '../system/locks/lock-blockers.js';
import type { AwaitedWork } from '../system/locks/stopped-wait.js';
import type { StoreLockState } from '../system/locks/store-lock-state.js';

/** Tells that a container is waited for that another process is making. */
export function warnOfMaker(events: ProvisionerEmitter): (containerId: string, pid: number, waited: number) => void {
  return (containerId, pid, waited) => {
    events.count('longWaits');
    events.emit('warning', {
      code: 'CONTAINER_WAIT',
      message: `waiting for ${Math.round(waited / 1000)} s for process ${pid}, which is making a root filesystem of container ${containerId}`,
      details: { containerId, pid, waited: Math.round(waited) },
    });
  };
}

/** Tells that a stopped process is waited for, which pulls or stores what is wanted here. */
export function warnOfStopped(events: ProvisionerEmitter): (pid: number, work: AwaitedWork, stopped: number) => void {
  return (pid, { deed, details }, stopped) => {
    events.count('longWaits');
    events.emit('warning', {
      code: 'PULL_WAIT',
      message: `waiting for process ${pid}, which ${deed} and has been stopped for ${Math.round(stopped / 1000)} s: continue it (kill -CONT ${pid}), or end it`,
      details: { ...details, pid, waited: Math.round(stopped) },
    });
  };
}

/** Tells that the store's lock is waited for, and who has it. */
export function warnOfWait(events: ProvisionerEmitter): (waited: number, state: StoreLockState) => void {
  return (waited, state) => {
    const blockers = blockersOf(state);
    const pids = (some: readonly LockBlocker[]) => some.map(({ pid }) => pid).join(', ');
    const isHolder = blockers.some(({ pid }) => pid === state.writer?.pid);
    const { pid, purpose, since } = state.writer ?? {};
    events.count('longWaits');
    events.emit('warning', {
      code: 'LOCK_WAIT',
      message: `waiting for ${Math.round(waited / 1000)} s for the store's lock, held by ${describeBlockers(blockers)}`,
      details: {
        waited,
        ...(isHolder && pid && purpose && since ? { pid, purpose, since } : {}),
        holders: pids(blockers),
        stopped: pids(blockers.filter(({ stopped }) => stopped)),
      },
    });
  };
}
