import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { JobKind, Jobs } from '#src/workers/jobs.js';
import { WorkerPool } from '#src/workers/worker-pool.js';

const program = new URL('./stubborn-worker.mjs', import.meta.url);

interface Order {
  readonly what: 'spin' | 'memory' | 'load' | 'answer';
  readonly milliseconds?: number;
}

function start(pool: WorkerPool, { what, milliseconds = 0 }: Order) {
  const controller = new AbortController();
  let took: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    took = resolve;
  });
  // The program knows no kinds of job.
  const request = { what, milliseconds, directory: tmpdir() } as unknown as Jobs[JobKind]['request'];
  const job = pool.run('measure-tree', request as Jobs['measure-tree']['request'], {
    signal: controller.signal,
    onProgress: took,
  });
  job.catch(() => {});
  return { job, begun, abort: () => controller.abort() };
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

describe('a worker thread that does not answer when its job is cancelled', () => {
  it('is ended and replaced, and the job settles then', async () => {
    const pool = new WorkerPool(1, { patience: 100, program });
    const stubborn = start(pool, { what: 'spin' });
    const waiting = start(pool, { what: 'answer' });
    await stubborn.begun;
    stubborn.abort();
    await expect(stubborn.job).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await expect(waiting.job).resolves.toBeUndefined();
    await pool.close();
  });

  it('leaves no descriptor open', async () => {
    const endFive = async () => {
      const pool = new WorkerPool(1, { patience: 50, program });
      for (let round = 0; round < 5; round++) {
        const stubborn = start(pool, { what: 'spin' });
        await stubborn.begun;
        stubborn.abort();
        await expect(stubborn.job).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      }
      await pool.close();
    };
    // What the process opens once and keeps.
    await endFive();
    const before = descriptors();
    await endFive();
    expect(descriptors()).toBe(before);
  });

  it('gives back the memory that it had', async () => {
    const pool = new WorkerPool(2, { patience: 100, program });
    const first = start(pool, { what: 'memory' });
    await first.begun;
    const second = start(pool, { what: 'memory' });
    const early = await Promise.race([second.begun, new Promise((resolve) => setTimeout(resolve, 300, 'waits'))]);
    expect(early).toBe('waits');
    first.abort();
    await second.begun;
    second.abort();
    await expect(second.job).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await pool.close();
  });

  it('is not ended before it has loaded what it is loading', async () => {
    const pool = new WorkerPool(1, { patience: 20, program });
    await start(pool, { what: 'answer' }).job;
    const started = performance.now();
    const loading = start(pool, { what: 'load', milliseconds: 600 });
    setTimeout(loading.abort, 50);
    await expect(loading.job).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(performance.now() - started).toBeGreaterThan(590);
    await pool.close();
  });

  it('does not keep the pool from being closed', async () => {
    const pool = new WorkerPool(2, { program });
    const jobs = [start(pool, { what: 'spin' }), start(pool, { what: 'spin' })];
    await Promise.all(jobs.map(({ begun }) => begun));
    await pool.close();
    for (const { job } of jobs) await expect(job).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});
