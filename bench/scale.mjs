// What a large store costs. Goals: opening one with 10 000 images and 100 000 layers takes at most 150 ms, recovering one with 10 000
// containers and 10 000 images at most 2 s, and a prune that removes nothing holds the lock at most 5 ms.
import { join } from 'node:path';
import { Provisioner } from '../dist/index.js';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';
import { makeContainers, makeStore } from './synthetic-store.mjs';

export async function run(options) {
  const given = parseOptions(options, { images: '10000', layers: '10', containers: '10000', rounds: '5' });
  const [images, ownLayers, containers, rounds] = Object.values(given).map(Number);
  const root = join(scratchDirectory('scale'), 'store');
  console.log(`${describeMachine()}\n${images} images, ${images * ownLayers} layers, ${containers} containers\n`);
  await makeStore(root, { images, ownLayers });
  await makeContainers(root, containers, images);
  const times = { open: [], images: [], info: [], recover: [], 'prune, nothing to do': [], 'its lock': [], close: [] };
  let blocked = 0;
  for (let round = 0; round < rounds; round++) {
    const watch = watchEventLoop();
    const timed = async (name, work) => {
      const begun = performance.now();
      const result = await work();
      times[name].push(performance.now() - begun);
      return result;
    };
    const provisioner = await timed('open', () => Provisioner.open({ root }));
    await timed('images', () => provisioner.images());
    await timed('info', () => provisioner.info());
    await timed('recover', () => provisioner.recover());
    const report = await timed('prune, nothing to do', () => provisioner.pruneImages(['*']));
    times['its lock'].push(report.lockHeld);
    await timed('close', () => provisioner.close());
    blocked = Math.max(blocked, watch());
  }
  const rows = Object.entries(times).map(([name, values]) => [
    name,
    quantile(values, 0.5).toFixed(1),
    Math.min(...values).toFixed(1),
    Math.max(...values).toFixed(1),
  ]);
  printTable(['', 'median ms', 'least', 'most'], rows);
  console.log(`\nlongest time that the event loop was blocked: ${blocked.toFixed(0)} ms`);
}

function watchEventLoop() {
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  return () => {
    clearInterval(timer);
    return longest;
  };
}
