import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';

const POOL = fileURLToPath(new URL('../../dist/workers/worker-pool.js', import.meta.url));

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pool-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('whoever closes it hears when it is closed, also when a job ends just then', async () => {
  // In a process of its own, which ends when nothing keeps it: then an end that is not told is status 13.
  const program = `
    import { WorkerPool } from ${JSON.stringify(POOL)};
    const job = (pool) => pool.run('measure-tree', { path: ${JSON.stringify(directory)} });
    for (let round = 0; round < 12; round++) {
      const pool = new WorkerPool(1);
      await job(pool);
      const last = job(pool).catch(() => {});
      // It has told of its end by then, and nobody here has heard of it.
      for (const started = performance.now(); performance.now() < started + 20; );
      await pool.close();
      await last;
    }
    console.log('closed');`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
  expect(stdout).toBe('closed\n');
});
