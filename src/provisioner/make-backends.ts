import { Backends } from '../backends/backends.js';
import { BindBackend } from '../backends/bind-backend.js';
import { CopyBackend } from '../backends/copy-backend.js';
import { OverlayBackend } from '../backends/overlay-backend.js';
import { loadSyscalls } from '../syscalls/load-syscalls.js';
import type { Parts } from './parts.js';

export function makeBackends({ format, pool, privileged, paths }: Parts): Backends {
  const { whiteouts } = format;
  return new Backends(
    [
      new OverlayBackend(loadSyscalls, whiteouts),
      new CopyBackend({ syscalls: loadSyscalls, pool, whiteouts, privileged }),
      new BindBackend(loadSyscalls),
    ],
    paths.staging,
  );
}
