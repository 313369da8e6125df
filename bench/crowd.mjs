// Many processes on one store: each provisions and destroys a stored image again and again.
// Goals with 64 processes of 20 pairs: nobody waits over 1 s, and p99 is at most five times a single process's.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Provisioner } from '../dist/index.js';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

const FIXTURE = fileURLToPath(new URL('../fixtures/app-v2', import.meta.url));

export async function run(options) {
  const given = parseOptions(options, { image: `oci:${FIXTURE}`, processes: '64', pairs: '20' });
  const root = join(scratchDirectory('crowd'), 'store');
  const provisioner = await Provisioner.open({ root });
  await provisioner.pull(given.image, { name: 'bench' });
  await provisioner.close();
  console.log(`${describeMachine()}\n`);
  const rows = [];
  for (const processes of [1, Number(given.processes)]) {
    const times = await crowd(root, processes, Number(given.pairs));
    const figures = [0.5, 0.99, 1].map((share) => quantile(times, share).toFixed(1));
    rows.push([processes, times.length / 2, ...figures]);
  }
  printTable(['processes', 'pairs', 'p50 ms', 'p99', 'longest'], rows);
}

/** @returns {Promise<number[]>} how long each call took; all processes begin at once */
async function crowd(root, processes, pairs) {
  const children = Array.from({ length: processes }, (_, n) => {
    return fork(fileURLToPath(import.meta.url), [root, String(n), String(pairs)]);
  });
  await Promise.all(children.map((child) => once(child, 'message')));
  const answers = children.map((child) => once(child, 'message'));
  for (const child of children) child.send('begin');
  return (await Promise.all(answers)).flatMap(([times]) => times);
}

async function member(root, number, pairs) {
  const provisioner = await Provisioner.open({ root });
  await pair(provisioner, `warm-up-${number}`);
  const begin = once(process, 'message');
  process.send('ready');
  await begin;
  const times = [];
  for (let n = 0; n < pairs; n++) times.push(...(await pair(provisioner, `crowd-${number}-${n}`)));
  await provisioner.close();
  process.send(times);
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

if (process.send !== undefined) await member(process.argv[2], process.argv[3], Number(process.argv[4]));
