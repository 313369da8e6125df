// Many processes on one store: each provisions and destroys a stored image again and again; beside it what the same load makes of one process, and of as many with a store
// each, who share nothing but the processors; and the crowd when it leaves the machine some air.
// Goals with 64 processes of 20 pairs: nobody waits over 1 s, and p99 is at most five times a single process's.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Provisioner } from '../dist/index.js';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

const FIXTURE = fileURLToPath(new URL('../fixtures/app-v2', import.meta.url));

export async function run(options) {
  const given = parseOptions(options, { image: `oci:${FIXTURE}`, processes: '64', pairs: '20', rate: '500' });
  const scratch = scratchDirectory('crowd');
  const processes = Number(given.processes);
  const own = Array.from({ length: processes }, (_, n) => join(scratch, `own-${n}`));
  const shared = own.map(() => join(scratch, 'shared'));
  for (const root of new Set([...own, ...shared])) await fill(root, given.image);
  console.log(`${describeMachine()}\n`);
  const pairs = Number(given.pairs);
  const alone = shared.slice(0, 1);
  const pause = (1000 * processes) / Number(given.rate);
  const rows = [];
  for (const [title, roots, load] of [
    ['one process', alone, { pairs }],
    [`one process, ${processes} at a time`, alone, { pairs, loops: processes }],
    [`${processes} on one store`, shared, { pairs }],
    [`${processes} with a store each`, own, { pairs }],
    [
      `one process, every ${(1000 / given.rate).toFixed(0)} ms`,
      alone,
      { pairs: pairs * processes, pause: 1000 / given.rate },
    ],
    [`${processes} on one store, each every ${pause.toFixed(0)} ms`, shared, { pairs, pause }],
  ]) {
    const times = await crowd(roots, load);
    const figures = [0.5, 0.99, 1].map((share) => quantile(times, share).toFixed(1));
    rows.push([title, times.length / 2, ...figures]);
  }
  printTable(['processes', 'pairs', 'p50 ms', 'p99', 'longest'], rows);
}

async function fill(root, image) {
  const provisioner = await Provisioner.open({ root });
  await provisioner.images.pull(image, { name: 'bench' });
  await provisioner.close();
}

/**
 * @param {{ pairs: number, loops?: number, pause?: number }} load of each process: pairs of each loop, loops at once, and milliseconds from the beginning of a
 * pair to that of the next one, which comes at once where this is not given
 * @returns {Promise<number[]>} how long each call took; all processes begin at once
 */
async function crowd(roots, load) {
  const children = roots.map((root, n) => {
    return fork(fileURLToPath(import.meta.url), [root, String(n), JSON.stringify(load)]);
  });
  await Promise.all(children.map((child) => once(child, 'message')));
  const answers = children.map((child) => once(child, 'message'));
  for (const child of children) child.send('begin');
  const times = (await Promise.all(answers)).flatMap(([own]) => own);
  // Nobody is to wait for the ends of those who are done.
  for (const child of children) child.send('end');
  await Promise.all(children.map((child) => once(child, 'exit')));
  return times;
}

async function member(root, number, { pairs, loops = 1, pause = 0 }) {
  const provisioner = await Provisioner.open({ root });
  await pair(provisioner, `warm-up-${number}`);
  const begin = once(process, 'message');
  process.send('ready');
  await begin;
  const times = [];
  const loop = async (_, loopNumber) => {
    // At any moment of the pause, so that they do not come in step.
    let next = performance.now() + Math.random() * pause;
    for (let n = 0; n < pairs; n++) {
      if (pause > 0) await sleep(Math.max(0, next - performance.now()));
      next += pause;
      times.push(...(await pair(provisioner, `crowd-${number}-${loopNumber}-${n}`)));
    }
  };
  await Promise.all(Array.from({ length: loops }, loop));
  const end = once(process, 'message');
  process.send(times);
  await end;
  await provisioner.close();
  process.disconnect();
}

async function pair(provisioner, id) {
  const begun = performance.now();
  await provisioner.provision(id, 'bench');
  const ready = performance.now();
  await provisioner.destroy(id);
  const destroyed = performance.now();
  await setImmediate();
  return [ready - begun, destroyed - ready];
}

if (process.send !== undefined) await member(process.argv[2], process.argv[3], JSON.parse(process.argv[4]));
