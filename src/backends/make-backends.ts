import type { ProvisionerEmitter } from '../events.js';
import type { Marks } from '../files/tree/marks.js';
import type { StorePaths } from '../paths.js';
import type { Fidelity } from '../store-directory/fidelity.js';
import type { OwnerWitness } from '../store-directory/owner-witness.js';
import type { StoreFormat } from '../store-directory/store-format.js';
import type { Liveness } from '../system/locks/liveness.js';
import { PROBE, transientName } from '../system/locks/process-identity.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import { Backends } from './backends.js';
import { BindBackend } from './bind-backend.js';
import { CopyBackend } from './copy-backend.js';
import { OverlayBackend } from './overlay-backend.js';

export interface BackendNeeds {
  readonly format: StoreFormat;
  readonly marks: Marks;
  readonly witness: OwnerWitness;
  readonly pool: WorkerPool;
  readonly privileged: boolean;
  readonly paths: StorePaths;
  readonly liveness: Liveness;
  readonly events: ProvisionerEmitter;
  readonly fidelity: Fidelity;
}

export function makeBackends(needs: BackendNeeds): Backends {
  const { format, marks, witness, pool, privileged, paths, liveness, events, fidelity } = needs;
  const { whiteouts } = format;
  return new Backends(
    [
      new OverlayBackend(loadSyscalls, whiteouts, marks),
      new CopyBackend({ syscalls: loadSyscalls, pool, whiteouts, marks, privileged }),
      new BindBackend(loadSyscalls, witness),
    ],
    {
      probeDirectory: paths.staging,
      probeName: () => transientName(PROBE, liveness.identity),
      onFallback: (reason) => {
        // Who has heard that the store is degraded has heard what follows from it.
        if (!fidelity.isTold) tellFallback(events, reason);
      },
      onCaveat: (backend, caveat) => {
        const message = `a root filesystem made by the backend ${backend} is of little use here: ${caveat}`;
        events.emit('warning', { code: 'ROOTFS_NOEXEC', message, details: { backend, reason: caveat } });
      },
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
