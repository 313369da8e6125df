// Warm pools: how soon what is claimed runs, against a launch; what one that waits takes; a minute of claims at 0.6 of what the machine can make; a burst. As root, with crun and gcc.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openContainerizer } from '../dist/containerizer.js';
import { Provisioner } from '../dist/index.js';
import { openWarmPools } from '../dist/warm-pool.js';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';
import { makePrograms } from './run-programs.mjs';

const now = () => Number(process.hrtime.bigint());
const sleep = (/** @type {number} */ milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const PARTS = ['claims', 'memory', 'terminals', 'minute', 'burst'];

export async function run(/** @type {string[]} */ options) {
  const given = parseOptions(options, {
    claims: '200',
    idle: '100',
    seconds: '60',
    burst: '20',
    only: PARTS.join(','),
  });
  const only = given.only.split(',');
  const scratch = scratchDirectory('pool');
  const root = join(scratch, 'store');
  console.log(`${describeMachine()}, ${execFileSync('crun', ['--version'], { encoding: 'utf8' }).split('\n')[0]}\n`);
  const { image } = makePrograms(join(scratch, 'programs'));
  const provisioner = await Provisioner.open({ root });
  await provisioner.images.load(image);
  const c = await openContainerizer({ provisioner });
  const pools = await openWarmPools({ provisioner });
  const context = { provisioner, c, pools };
  const parts = { claims, memory, terminals: (x, n) => memory(x, n, true), minute, burst };
  const numbers = {
    claims: given.claims,
    memory: given.idle,
    terminals: given.idle,
    minute: given.seconds,
    burst: given.burst,
  };
  for (const part of PARTS) if (only.includes(part)) await parts[part](context, Number(numbers[part]));
  await provisioner.close();
}

const full = async (pool) => {
  while (pool.size < pool.capacity || pool.creators > 0) await sleep(5);
};

/** When the program of a container has begun, by the clock that it prints. */
async function began(c, id) {
  await c.wait(id);
  for await (const { bytes } of c.logs(id)) return Number(Buffer.from(bytes).toString());
  throw new Error(`${id} has printed nothing`);
}

async function claims({ c, pools }, count) {
  const launch = { command: ['/bin/now'] };
  const pool = await pools.keep('now', { image: 'bench:1', launch, size: 10 });
  const times = { cold: [], warm: [], claim: [] };
  for (let n = 0; n < count; n++) {
    await full(pool);
    // What has just been made leaves the machine to itself.
    await sleep(20);
    const id = `cold-${n}`;
    let begun = now();
    await c.launch(id, 'bench:1', launch);
    times.cold.push((await began(c, id)) - begun);
    await c.destroy(id);
    await sleep(20);
    begun = now();
    const claimed = await pool.get();
    times.claim.push(now() - begun);
    times.warm.push((await began(c, claimed.containerId)) - begun);
    await c.destroy(claimed.containerId);
  }
  await pool.stop({ timeout: 10_000 });
  const of = (values, p) => quantile(values, p) / 1e6;
  printTable(
    ['ms', 'p50', 'p99', '× cold'],
    Object.entries({
      'launch to first instruction': times.cold,
      'claim to first instruction': times.warm,
      'claim alone': times.claim,
    }).map(([name, values]) => [
      name,
      of(values, 0.5).toFixed(2),
      of(values, 0.99).toFixed(2),
      (of(values, 0.5) / of(times.cold, 0.5)).toFixed(2),
    ]),
  );
}

async function memory({ c, pools }, count, hasTerminal = false) {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc');
  const heap = async () => {
    await sleep(1200);
    collect();
    return process.memoryUsage().heapUsed;
  };
  const launch = { command: ['/bin/stay'], ...(hasTerminal && { terminal: { rows: 24, columns: 80 } }) };
  const name = hasTerminal ? 'tty' : 'idle';
  const pool = await pools.keep(name, { image: 'bench:1', launch, size: 2 });
  await full(pool);
  const before = await heap();
  pool.resize(count);
  await full(pool);
  const grown = (await heap()) - before;
  const launches = (await c.list()).filter(({ containerId }) => containerId.startsWith(`${name}-`));
  const inits = launches.map(({ pid }) => pssOf(pid));
  const monitors = launches.map(({ pid }) => pssOf(parentOf(pid)));
  const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length / 1024;
  console.log(
    `\n${count} that wait${hasTerminal ? ', with terminals' : ''}: ${(mean(inits) + mean(monitors)).toFixed(2)} MB PSS each (${mean(inits).toFixed(2)} what waits, ${mean(monitors).toFixed(2)} its monitor), ${(grown / 1024 / (count - 2)).toFixed(1)} KB of the heap`,
  );
  await pool.stop({ timeout: 10_000 });
}

/** @returns KB */
const pssOf = (pid) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);
const parentOf = (pid) => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

async function minute({ c, pools }, seconds) {
  const launch = { command: ['/bin/true'] };
  const rate = await makingRate(c, launch);
  const wanted = 0.6 * rate;
  const pool = await pools.keep('minute', { image: 'bench:1', launch, size: 20 });
  await full(pool);
  const hits = [];
  const ends = [];
  let misses = 0;
  const begun = performance.now();
  for (let n = 0; performance.now() - begun < seconds * 1000; n++) {
    await sleep(Math.max(0, (n * 1000) / wanted - (performance.now() - begun)));
    const asked = performance.now();
    ends.push(
      pool.get().then(async (claimed) => {
        if (claimed === null) return void misses++;
        hits.push(performance.now() - asked);
        await c.wait(claimed.containerId);
        await c.destroy(claimed.containerId);
      }),
    );
  }
  await Promise.all(ends);
  await pool.stop({ timeout: 10_000 });
  const all = hits.length + misses;
  console.log(
    `\n${rate.toFixed(0)} made, run and destroyed in a second; ${seconds} s of claims at ${wanted.toFixed(0)}/s: ${((100 * hits.length) / all).toFixed(2)} % of ${all} hits, p50 ${quantile(hits, 0.5).toFixed(2)} ms, p99 ${quantile(hits, 0.99).toFixed(2)} ms, longest ${Math.max(...hits).toFixed(1)} ms`,
  );
}

/** How many the machine can make, run and destroy in a second, some at a time. */
async function makingRate(c, launch) {
  const until = performance.now() + 5000;
  let done = 0;
  const begun = performance.now();
  const work = async (worker) => {
    for (let n = 0; performance.now() < until; n++) {
      const id = `rate-${worker}-${n}`;
      await c.create(id, 'bench:1', launch);
      await c.start(id);
      await c.wait(id);
      await c.destroy(id);
      done++;
    }
  };
  await Promise.all([0, 1, 2, 3].map(work));
  return done / ((performance.now() - begun) / 1000);
}

async function burst({ c, pools }, count) {
  const pool = await pools.keep('burst', { image: 'bench:1', launch: { command: ['/bin/stay'] }, size: count });
  await full(pool);
  await sleep(100);
  const begun = performance.now();
  const times = [];
  const claimed = await Promise.all(
    Array.from({ length: count }, async () => {
      const one = await pool.get();
      times.push(performance.now() - begun);
      return one;
    }),
  );
  const hits = claimed.filter((one) => one !== null);
  console.log(
    `\na burst of ${count} at a pool of ${count}: ${hits.length} hits, the last after ${Math.max(...times).toFixed(1)} ms`,
  );
  for (const { containerId } of hits) await c.destroy(containerId, { running: 'kill' });
  await pool.stop({ timeout: 10_000 });
}
