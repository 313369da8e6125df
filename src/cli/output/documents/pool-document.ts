import type { PoolReport } from '../../../warm-pool/index.js';
import { timestamp } from './image-document.js';

/** A pool of `pool status` in `--json`; `docs/cli.md` promises this shape. Times are milliseconds where they are no timestamps, and sizes bytes. */
export function poolDocument({ pool, owner, containers, isKept, status }: PoolReport) {
  return {
    pool,
    owner,
    kept: isKept,
    containers: containers.map(({ containerId, kind, since }) => ({ id: containerId, kind, since: timestamp(since) })),
    oldest: containers.length === 0 ? null : timestamp(Math.min(...containers.map(({ since }) => since))),
    status: status === undefined ? null : statusDocument(status),
  };
}

function statusDocument(status: NonNullable<PoolReport['status']>) {
  const { kind, image, key, min, max, target, ready, creators, cost, creationTime, beganAt } = status;
  const { hits, misses, claimed, created, failed, broken, retired, containersCleanedUp, errorThrottled } = status;
  return {
    ...{ kind, image, key, min, max, target, ready, creators, memory: cost.memory, disk: cost.disk },
    ...{ hits, misses, claimed, created, failed, broken, retired, containersCleanedUp, errorThrottled },
    recentErrors: status.recentErrors,
    lastError: status.lastError ?? null,
    throttledUntil: status.throttledUntil === undefined ? null : timestamp(status.throttledUntil),
    heldBack: status.isHeldBack,
    creationTime: creationTime ?? null,
    began: timestamp(beganAt),
  };
}
