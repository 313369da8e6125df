import { join } from 'node:path';
import { Backends } from '../backends/backends.js';
import { BindBackend } from '../backends/bind-backend.js';
import { CopyBackend } from '../backends/copy-backend.js';
import { OverlayBackend } from '../backends/overlay-backend.js';
import type { Liveness } from '../locks/liveness.js';
import { PROBE, transientName } from '../locks/process-identity.js';
import type { StorePaths } from '../paths.js';
import type { StoreFormat } from '../store/store-format.js';
import { loadSyscalls } from '../syscalls/load-syscalls.js';
import type { WorkerPool } from '../workers/worker-pool.js';

export interface BackendParts {
  readonly format: StoreFormat;
  readonly pool: WorkerPool;
  readonly privileged: boolean;
  readonly paths: StorePaths;
  readonly liveness: Liveness;
}

export function makeBackends({ format, pool, privileged, paths, liveness }: BackendParts): Backends {
  const { whiteouts } = format;
  return new Backends(
    [
      new OverlayBackend(loadSyscalls, whiteouts),
      new CopyBackend({ syscalls: loadSyscalls, pool, whiteouts, privileged }),
      new BindBackend(loadSyscalls),
    ],
    () => join(paths.staging, transientName(PROBE, liveness.identity)),
  );
}
