import { isProvisionerError } from '../base/errors.js';
import type { ProvisionerEmitter } from '../events.js';
import { describeGap } from '../metadata/record-errors.js';
import { blockersOf, describeBlockers, type LockBlocker } from '../system/locks/lock-blockers.js';
import type { AwaitedWork } from '../system/locks/stopped-wait.js';
import type { StoreLockState } from '../system/locks/store-lock-state.js';
import type { OpenStore } from './open-store.js';

/** So often it is looked whether the records have a gap, in milliseconds. */
const GAP_LOOK = 1000;

/** Tells, once, when the records have a gap: what they list, or do not find, is then not all that there is. Stands behind what is looked up in them. */
export function warnOfGap({ metadata, events, paths, readOnly }: OpenStore): () => Promise<void> {
  let isTold = false;
  let lookedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (isTold) return;
    // Who may write is told of records that others are put in the place of; who may not, opens those. So only he need look at each call.
    if (readOnly === undefined && performance.now() - lookedAt < GAP_LOOK) return;
    lookedAt = performance.now();
    const gap = await metadata.recordsGap().catch(ifRefused);
    if (gap === undefined || isTold) return;
    isTold = true;
    events.emit('warning', {
      code: 'RECORDS_GAP',
      message: `the records of this store ${describeGap(gap)}, so images and containers may be in it that they do not tell of: run \`provisioner recover\`, which says what it leaves alone, and pull again what is missing`,
      details: { path: paths.metadata, gap },
    });
  };
}

/** Nobody is refused what he looks up because this cannot be found out now. */
function ifRefused(error: unknown): undefined {
  if (!isProvisionerError(error)) throw error;
}

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
