import { join } from 'node:path';
import { afterAll } from 'vitest';
import { BindBackend } from '#src/backends/bind-backend.js';
import { CopyBackend } from '#src/backends/copy-backend.js';
import { OverlayBackend } from '#src/backends/overlay-backend.js';
import { Marks, markOpaque } from '#src/files/tree/marks.js';
import { toBytePath } from '#src/system/syscalls/byte-path.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { isMountPoint } from '#src/system/syscalls/mounts/is-mount-point.js';
import { WorkerPool } from '#src/workers/worker-pool.js';
import { describeBackend } from '../../native-free-tests/contracts/backend.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const pool = new WorkerPool(1);
afterAll(() => pool.close());

const syscalls = loadSyscalls;
const marks = () => new Marks({ format: 'trusted', tryIn: () => join(temporaryDirectory(), 'try-'), syscalls });

const OF_ROOT = {
  hide: (directory: string, name: string) =>
    syscalls().makeNode(toBytePath(join(directory, name)), 0o020000, { major: 0, minor: 0 }),
  close: (directory: string) => markOpaque(directory, 'trusted', syscalls()),
  isMounted: isMountPoint,
  unmount: (path: string) => void syscalls().detachMount(path),
};

describeWith(['root', 'overlay'], 'with native calls, on a store of root,', () => {
  describeBackend('overlay', { ...OF_ROOT, make: () => new OverlayBackend(syscalls, 'trusted', marks()) });
  describeBackend('copy', {
    ...OF_ROOT,
    make: () => new CopyBackend({ syscalls, pool, whiteouts: 'trusted', marks: marks(), privileged: true }),
  });
  describeBackend('bind', { ...OF_ROOT, make: () => new BindBackend(syscalls, marks()), merges: false });
});
