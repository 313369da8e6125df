import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';

const POOL = fileURLToPath(new URL('../../build/workers/worker-pool.js', import.meta.url));

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

it('whether a limit is kept is looked at beside what takes long, and one look at a time', async () => {
  const printed = await run(`
    const pool = new WorkerPool(1);
    // Whatever takes a place of theirs waits for all of them.
    const long = new Array(60).fill().map(() => job(pool));
    const look = () => pool.run('measure-written', { paths: [${JSON.stringify(directory)}, '/gone'], leastPerName: 1 << 20 });
    let begun = 0;
    const looks = [0, 1].map(() => pool.run('measure-written', { paths: [], leastPerName: 0 }, { onStart: () => begun++ }));
    const atOnce = begun;
    const first = look();
    await Promise.all([...looks, first, ...long]);
    console.log(threads, atOnce, begun, await first >= 1 << 20);
    await pool.close();`);
  expect(printed).toBe('2 1 2 true\n');
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

/** Layers of a registry that sends a byte of each and then nothing. */
const FETCHING = (): string => `
    import { mkdirSync } from 'node:fs';
    import { createServer } from 'node:http';
    import { once } from 'node:events';
    import { setTimeout as sleep } from 'node:timers/promises';
    let asked = 0;
    const server = createServer((request, response) => {
      asked++;
      response.writeHead(200, { 'content-length': 1000 });
      response.write('x');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = {
      host: '127.0.0.1:' + server.address().port, scheme: 'http', path: '/v2',
      resolves: true, pulls: true, tls: { verify: true, ca: [] }, headers: {},
    };
    const digest = 'sha256:' + '0'.repeat(64);
    const blob = {
      kind: 'registry', repository: 'app', digest, size: 1000, sources: [{ endpoint, authorization: undefined }],
      stallTimeout: 60_000, minBytesPerSecond: 0, connectionsPerHost: 8, retries: 0,
    };
    const limits = { maxEntries: 10, maxUnpackedBytes: 1e6, maxFileBytes: 1e6, freeSpaceReserve: 0 };
    const cancel = new AbortController();
    let layers = 0;
    const fetching = (pool) => {
      const layer = ${JSON.stringify(directory)} + '/' + ++layers;
      mkdirSync(layer);
      const target = { digest, diffId: digest, directory: layer, format: 'plain', privileged: false, limits };
      return pool.run('unpack-layer', { blob, ...target }, { signal: cancel.signal }).catch((error) => error.code);
    };
    const isAsked = async (count) => {
      while (asked < count) await sleep(5);
    };`;

it('jobs that need no network are not kept waiting by those that do, and no more layers are fetched than may be', async () => {
  const printed = await run(`${FETCHING()}
    for (const size of [1, 2]) {
      [asked, threads] = [0, 0];
      const pool = new WorkerPool(size);
      const fetched = Array.from({ length: size + 1 }, () => fetching(pool));
      await isAsked(size);
      await Promise.all([job(pool), job(pool), job(pool), job(pool)]);
      console.log(size, threads, asked);
      if (size === 2) cancel.abort();
      if (size === 2) console.log(...(await Promise.all(fetched)));
      await pool.close();
    }
    process.exit(0);`);
  expect(printed).toBe('1 2 1\n2 4 2\nERR_ABORTED ERR_ABORTED ERR_ABORTED\n');
});

it('layers that leave the processors idle are fetched by more threads than there are processors, as many as may be; others are not', async () => {
  const printed = await run(`${FETCHING()}
    let now = 0;
    // Of each 50 milliseconds both threads want this much.
    for (const wanted of [100, 40, 2]) {
      asked = 0;
      let looks = 0;
      const clock = { now: () => (now += 50), wanted: () => (looks++, (now / 50) * wanted) };
      const pool = new WorkerPool(2, { downloads: 5, clock });
      const fetched = Array.from({ length: 7 }, () => fetching(pool));
      await isAsked({ 100: 2, 40: 5, 2: 5 }[wanted]);
      const before = looks;
      while (wanted === 100 && looks < before + 5) await sleep(5);
      console.log(wanted, asked);
      void Promise.all(fetched);
      await pool.close();
    }
    process.exit(0);`);
  expect(printed).toBe('100 2\n40 5\n2 5\n');
});

/** From now on the system lets so many threads begin. */
const FEW_THREADS = `
    import workers from 'node:worker_threads';
    import { syncBuiltinESMExports } from 'node:module';
    let allowed = 0;
    workers.Worker = class extends workers.Worker {
      constructor(...how) {
        if (allowed-- <= 0) throw Object.assign(new Error('EAGAIN'), { code: 'ERR_WORKER_INIT_FAILED' });
        super(...how);
      }
    };
    syncBuiltinESMExports();`;

it('where the system lets no more threads begin, those that there are do all the jobs', async () => {
  const printed = await run(`${FEW_THREADS}
    allowed = 2;
    const pool = new WorkerPool(4);
    pool.prepare(4);
    const done = await Promise.all(Array.from({ length: 9 }, () => job(pool)));
    console.log(done.length, threads);
    await pool.close();`);
  expect(printed).toBe('9 2\n');
});

it('where it lets none begin, each job fails for that reason, and later ones do not', async () => {
  const printed = await run(`${FEW_THREADS}
    const pool = new WorkerPool(2);
    pool.prepare(2);
    const codes = await Promise.all([job(pool), job(pool), job(pool)].map((one) => one.catch((error) => error.code)));
    allowed = 1;
    await job(pool);
    console.log(...codes);
    await pool.close();`);
  expect(printed).toBe('ERR_WORKER_DIED ERR_WORKER_DIED ERR_WORKER_DIED\n');
});
