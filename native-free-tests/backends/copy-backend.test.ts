import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { CopyBackend } from '#src/backends/copy-backend.js';
import { Marks } from '#src/files/tree/marks.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { WorkerPool } from '#src/workers/worker-pool.js';
import { describeBackend } from '../contracts/backend.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const pool = new WorkerPool(1);
afterAll(() => pool.close());

const syscalls = () => new NativeFreeSyscalls();

describeBackend('copy, without native calls', {
  make() {
    const marks = new Marks({ format: 'plain', tryIn: () => join(temporaryDirectory(), 'try-'), syscalls });
    return new CopyBackend({ syscalls, pool, whiteouts: 'plain', marks, privileged: false });
  },
  hide: (directory, name) => writeFileSync(join(directory, `.wh.${name}`), ''),
  close: (directory) => writeFileSync(join(directory, '.wh..wh..opq'), ''),
  isMounted: () => false,
  unmount() {},
});
