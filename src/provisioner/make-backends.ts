import { Backends } from '../backends/backends.js';
import { BindBackend } from '../backends/bind-backend.js';
import { CopyBackend } from '../backends/copy-backend.js';
import { OverlayBackend } from '../backends/overlay-backend.js';
import type { ProvisionerEmitter } from '../events.js';
import type { Liveness } from '../locks/liveness.js';
import { PROBE, transientName } from '../locks/process-identity.js';
import type { StorePaths } from '../paths.js';
import type { StoreFormat } from '../store/store-format.js';
import { loadSyscalls } from '../syscalls/load-syscalls.js';
import type { Marks } from '../tree/marks.js';
import type { WorkerPool } from '../workers/worker-pool.js';

export interface BackendParts {
  readonly format: StoreFormat;
  readonly marks: Marks;
  readonly pool: WorkerPool;
  readonly privileged: boolean;
  readonly paths: StorePaths;
  readonly liveness: Liveness;
  readonly events: ProvisionerEmitter;
}

export function makeBackends({ format, marks, pool, privileged, paths, liveness, events }: BackendParts): Backends {
  const { whiteouts } = format;
  return new Backends(
    [
      new OverlayBackend(loadSyscalls, whiteouts, marks),
      new CopyBackend({ syscalls: loadSyscalls, pool, whiteouts, marks, privileged }),
      new BindBackend(loadSyscalls),
    ],
    {
      probeDirectory: paths.staging,
      probeName: () => transientName(PROBE, liveness.identity),
      onFallback: (reason) => tellFallback(events, reason),
    },
  );
}

/** A copy takes seconds and disk space where a mount takes none, so whoever asked for neither should know. */
function tellFallback(events: ProvisionerEmitter, reason: string): void {
  events.emit('warning', {
    code: 'BACKEND_FALLBACK',
    message: `root filesystems are copied, not mounted: overlay cannot be used here, ${reason}`,
    details: { backend: 'copy', reason },
  });
}
