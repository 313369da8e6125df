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

/** Runs a program in a process of its own, which ends when nothing keeps it: then an end that is not told is status 13. @returns what it prints */
async function run(program: string): Promise<string> {
  const whole = `
    import { WorkerPool } from ${JSON.stringify(POOL)};
    const job = (pool) => pool.run('measure-tree', { path: ${JSON.stringify(directory)} });
    let threads = 0;
    process.on('worker', () => threads++);
    ${program}`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', whole]);
  return stdout;
}

it('whoever closes it hears when it is closed, also when a job ends just then', async () => {
  const printed = await run(`
    for (let round = 0; round < 12; round++) {
      const pool = new WorkerPool(1);
      await job(pool);
      const last = job(pool).catch(() => {});
      // It has told of its end by then, and nobody here has heard of it.
      for (const started = performance.now(); performance.now() < started + 20; );
      await pool.close();
      await last;
    }
    console.log('closed');`);
  expect(printed).toBe('closed\n');
});

it('threads that were prepared take up the jobs that come, and there are never more than its size', async () => {
  const printed = await run(`
    const pool = new WorkerPool(2);
    pool.prepare(1);
    pool.prepare(1);
    await new Promise(setImmediate);
    const first = threads;
    await Promise.all([job(pool), job(pool), job(pool)]);
    pool.prepare(5);
    console.log(first, threads);
    await pool.close();`);
  expect(printed).toBe('1 2\n');
});

it('threads that were prepared for nothing keep nobody', async () => {
  const started = performance.now();
  const printed = await run(`
    new WorkerPool(2).prepare(2);
    const closed = new WorkerPool(2);
    closed.prepare(2);
    await closed.close();
    console.log('closed');`);
  expect(printed).toBe('closed\n');
  // An idle thread is kept for five seconds.
  expect(performance.now() - started).toBeLessThan(4000);
});
