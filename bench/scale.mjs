// What a large store costs, and for how long it keeps the event loop. Goals: opening one with 10 000 images and 100 000 layers takes at most
// 150 ms, recovering one with 10 000 containers and 10 000 images at most 2 s, a prune that removes nothing holds the lock at most 5 ms, and one that
// removes something 5 ms + 50 µs per layer; nothing blocks the event loop for more than 50 ms.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Provisioner } from '../dist/index.js';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';
import { makeContainers, makeStore } from './synthetic-store.mjs';

export async function run(options) {
  const defaults = { images: '10000', layers: '10', containers: '10000', rounds: '3', only: '' };
  const { only, ...numbers } = parseOptions(options, defaults);
  const [images, ownLayers, containers, rounds] = Object.values(numbers).map(Number);
  const root = join(scratchDirectory('scale'), 'store');
  console.log(`${describeMachine()}\n${images} images, ${images * ownLayers} layers, ${containers} containers\n`);
  await makeStore(root, { images, ownLayers });
  // Of the first half of the images, so that a prune may take the second.
  await makeContainers(root, containers, Math.ceil(images / 2));
  const figures = new Figures(new RegExp(only));
  for (let round = 0; round < rounds; round++) await readAndChangeNothing(root, figures);
  await check(root, figures);
  await remove(root, figures);
  figures.print();
}

async function readAndChangeNothing(root, figures) {
  await figures.of('open', async () => (await Provisioner.open({ root })).close());
  const provisioner = await Provisioner.open({ root });
  await figures.of('images', () => provisioner.images.list());
  await figures.of('containers', () => provisioner.containers.list());
  await figures.of('info', () => provisioner.store.info());
  await figures.of('why IMAGE', () => provisioner.store.why('image-0'));
  const { layers } = await provisioner.images.get('image-0');
  await figures.of('why LAYER', () => provisioner.store.why(layers[0]));
  await figures.of('provision', () => provisioner.provision('bench', 'image-0', { backend: 'copy' }));
  await figures.of('destroy', () => provisioner.destroy('bench'));
  await figures.of('df', () => provisioner.store.usage());
  await figures.of('recover', () => provisioner.recover());
  await figures.of('prune, dry run', () => provisioner.pruneImages([], { dryRun: true }));
  await figures.of('prune, dry run, by size', () => provisioner.pruneImages([], { dryRun: true, keepBytes: 1e6 }));
  const report = await figures.of('prune, nothing to do', () => provisioner.pruneImages(['*']));
  figures.addLock(report, 0);
  await provisioner.close();
}

async function check(root, figures) {
  const provisioner = await Provisioner.open({ root });
  await figures.of('check', () => provisioner.store.check());
  await provisioner.close();
}

/** By a plan the first half of what a prune may take, by a prune the rest. */
async function remove(root, figures) {
  if (!figures.wants('apply a plan') && !figures.wants('prune')) return;
  const provisioner = await Provisioner.open({ root });
  const { plan } = await provisioner.pruneImages([], { dryRun: true });
  const images = plan.images.slice(0, plan.images.length / 2);
  const goes = new Set(images.map(({ id }) => id));
  const layersOfThem = (await provisioner.images.list())
    .filter(({ id }) => goes.has(id))
    .flatMap(({ layers }) => layers);
  const gone = new Set(layersOfThem);
  const half = { ...plan, images, layers: plan.layers.filter(({ id }) => gone.has(id)) };
  const applied = await figures.of('apply a plan', () => provisioner.store.applyPlan(half));
  figures.addLock(applied, half.layers.length);
  const pruned = await figures.of('prune', () => provisioner.pruneImages());
  figures.addLock(pruned, plan.layers.length - half.layers.length);
  await provisioner.close({ sweep: 'leave' });
}

/** How long each operation took, and the longest that it kept the event loop. */
class Figures {
  #only;
  #times = new Map();
  #blocked = new Map();

  /** @param {RegExp} only of the operations with such names */
  constructor(only) {
    this.#only = only;
  }

  wants(name) {
    return this.#only.test(name);
  }

  /** Runs `work` and measures it, if it is wanted. */
  async of(name, work) {
    if (!this.wants(name)) return undefined;
    // What the operation before has left to be done is not this one's.
    await sleep(20);
    const watch = watchEventLoop();
    const begun = performance.now();
    const result = await work();
    const took = performance.now() - begun;
    // So that its last stretch is seen too.
    await sleep(2);
    const blocked = watch();
    this.add(name, took);
    const before = this.#blocked.get(name) ?? { elapsed: 0, worked: 0 };
    this.#blocked.set(name, {
      elapsed: Math.max(before.elapsed, blocked.elapsed),
      worked: Math.max(before.worked, blocked.worked),
    });
    return result;
  }

  add(name, milliseconds) {
    this.#times.set(name, [...(this.#times.get(name) ?? []), milliseconds]);
  }

  /** @param report of a prune, if it was wanted */
  addLock(report, layers) {
    if (report !== undefined) this.add(`  its lock: goal ${(5 + 0.05 * layers).toFixed(0)}`, report.lockHeld);
  }

  print() {
    const rows = [...this.#times].map(([name, values]) => [
      name,
      quantile(values, 0.5).toFixed(1),
      Math.min(...values).toFixed(1),
      Math.max(...values).toFixed(1),
      this.#blocked.get(name)?.elapsed.toFixed(0) ?? '',
      this.#blocked.get(name)?.worked.toFixed(0) ?? '',
    ]);
    printTable(['', 'median ms', 'least', 'most', 'event loop blocked, worst', 'of processor time'], rows);
    const all = [...this.#blocked.values()];
    const worst = (kind) => Math.max(...all.map((blocked) => blocked[kind])).toFixed(0);
    console.log(
      `\nthe event loop was blocked for at most ${worst('elapsed')} ms, ${worst('worked')} ms of processor time`,
    );
  }
}

/** The longest stretches: as the clock tells, and as this thread worked in them, which is all but what others on the machine make of it. */
function watchEventLoop() {
  let [last, lastWorked] = [performance.now(), threadTime()];
  const longest = { elapsed: 0, worked: 0 };
  const timer = setInterval(() => {
    const [now, worked] = [performance.now(), threadTime()];
    longest.elapsed = Math.max(longest.elapsed, now - last);
    longest.worked = Math.max(longest.worked, worked - lastWorked);
    [last, lastWorked] = [now, worked];
  }, 1);
  return () => {
    clearInterval(timer);
    return longest;
  };
}

/** Processor time of this thread in milliseconds. @see proc(5), /proc/pid/schedstat */
function threadTime() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
}
