import { expect, test } from 'vitest';
import { BACKEND_NAMES, isMountedBackend } from '#src/backends/backend.js';
import { BindBackend } from '#src/backends/bind-backend.js';
import { CopyBackend } from '#src/backends/copy-backend.js';
import { OverlayBackend } from '#src/backends/overlay-backend.js';
import { Marks } from '#src/files/tree/marks.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { WorkerPool } from '#src/workers/worker-pool.js';

test('the name of a backend tells whether its rootfses are mounts, as the backend itself does', async () => {
  const syscalls = () => new NativeFreeSyscalls();
  const marks = new Marks({ format: 'trusted', tryIn: () => '', syscalls });
  const pool = new WorkerPool(1);
  const backends = [
    new OverlayBackend(syscalls, 'trusted', marks),
    new CopyBackend({ syscalls, pool, whiteouts: 'trusted', marks, privileged: false }),
    new BindBackend(syscalls, marks),
  ];
  expect(backends.map(({ name }) => name)).toEqual(BACKEND_NAMES);
  for (const { name, mounts } of backends) expect(isMountedBackend(name), name).toBe(mounts);
  expect(isMountedBackend('of another release')).toBe(false);
  await pool.close();
});
