// Many processes on one store: each provisions and destroys a stored image again and again; and as many with a store each, who share nothing but the processors.
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
  const scratch = scratchDirectory('crowd');
  const processes = Number(given.processes);
  const own = Array.from({ length: processes }, (_, n) => join(scratch, `own-${n}`));
  const shared = own.map(() => join(scratch, 'shared'));
  for (const root of new Set([...own, ...shared])) await fill(root, given.image);
  console.log(`${describeMachine()}\n`);
  const rows = [];
  for (const [title, roots] of [
    ['one process', shared.slice(0, 1)],
    [`${processes} on one store`, shared],
    [`${processes} with a store each`, own],
  ]) {
    const times = await crowd(roots, Number(given.pairs));
    const figures = [0.5, 0.99, 1].map((share) => quantile(times, share).toFixed(1));
    rows.push([title, times.length / 2, ...figures]);
  }
  printTable(['processes', 'pairs', 'p50 ms', 'p99', 'longest'], rows);
}

async function fill(root, image) {
  const provisioner = await Provisioner.open({ root });
  await provisioner.pull(image, { name: 'bench' });
  await provisioner.close();
}

/** @returns {Promise<number[]>} how long each call took; all processes begin at once */
async function crowd(roots, pairs) {
  const children = roots.map((root, n) => {
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
