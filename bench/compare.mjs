// This build and another one of the project in turn, in one process: what a change costs, whatever the machine does meanwhile.
// Goal: no ratio above 1 by more than the noise, which two runs with the same build on both sides show.
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { makeLayout } from './layouts.mjs';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const FIXTURE = fileURLToPath(new URL('../fixtures/app-v2', import.meta.url));
const PAIRS = 300;
const WARM_UP = 1000;

export async function run(options) {
  const { with: other, rounds } = parseOptions(options, { with: '', rounds: '20' });
  if (other === '') {
    console.error('--with names the directory of another build, with its dist/ and node_modules/');
    process.exit(2);
  }
  const scratch = scratchDirectory('compare');
  console.log(`${describeMachine()}\n${rounds} rounds; times in ms, medians\n`);
  const builds = await Promise.all([other, HERE].map(load));
  const rows = [];
  for (const parallel of [1, 4, 16]) {
    const sides = await Promise.all(builds.map((build, n) => provisions(build, join(scratch, `p${n}`), parallel)));
    for (const side of sides) await side.pairs(WARM_UP);
    rows.push(row(`${PAIRS} provisions and destroys, ${parallel} at a time`, await inTurn(sides, rounds, provision)));
    for (const side of sides) await side.close();
  }
  for (const shape of ['many-files', 'many-layers']) {
    const source = `oci:${await makeLayout(scratch, shape)}`;
    const sides = builds.map((build, n) => ({ build, root: join(scratch, `s${n}`), source }));
    for (const side of sides) await pullAndPrune(side);
    const figures = await inTurn(sides, rounds, pullAndPrune);
    for (const what of ['pull', 'prune', 'sweep'])
      rows.push(
        row(
          `${what}, ${shape}`,
          figures.map((pair) => pair.map((all) => ({ all: all[what], cpu: all.cpu }))),
        ),
      );
  }
  printTable(['', 'other', 'this', 'ratio', 'ratio of CPU time'], rows);
}

/** Of builds from before and after calls went by nouns. */
function pull(provisioner, source) {
  return (provisioner.store === undefined ? provisioner : provisioner.images).pull(source, { name: 'bench' });
}

async function load(directory) {
  return import(pathToFileURL(join(resolve(directory), 'dist', 'index.js')).href);
}

async function provisions({ Provisioner }, root, parallel) {
  const provisioner = await Provisioner.open({ root });
  await pull(provisioner, `oci:${FIXTURE}`);
  let made = 0;
  const pairs = async (count) => {
    let begun = 0;
    const one = async () => {
      while (begun++ < count) {
        const id = `bench-${made++}`;
        await provisioner.provision(id, 'bench');
        await provisioner.destroy(id);
      }
    };
    await Promise.all(Array.from({ length: parallel }, one));
  };
  return { pairs, close: () => provisioner.close() };
}

async function provision({ pairs }) {
  const { ms, cpu } = await timed(() => pairs(PAIRS));
  return { all: ms, cpu };
}

async function pullAndPrune({ build: { Provisioner }, root, source }) {
  const provisioner = await Provisioner.open({ root });
  const before = process.cpuUsage();
  const pulled = await timed(() => pull(provisioner, source));
  const prune = await timed(() => provisioner.pruneImages([]));
  const sweep = await timed(() => (provisioner.store ?? provisioner).swept());
  const cpu = spent(before);
  await provisioner.close();
  rmSync(root, { recursive: true, force: true });
  return { pull: pulled.ms, prune: prune.ms, sweep: sweep.ms, cpu };
}

/** @returns pairs of figures, the other build's first; each begins every second round */
async function inTurn([other, own], rounds, measure) {
  const figures = [];
  for (let round = 0; round < Number(rounds); round++) {
    if (round % 2 === 0) figures.push([await measure(other), await measure(own)]);
    else figures.push([await measure(own), await measure(other)].reverse());
  }
  return figures;
}

async function timed(work) {
  const before = process.cpuUsage();
  const begun = performance.now();
  await work();
  return { ms: performance.now() - begun, cpu: spent(before) };
}

function spent(before) {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function row(name, figures) {
  const median = (of) => quantile(figures.map(of), 0.5);
  return [
    name,
    median(([other]) => other.all).toFixed(1),
    median(([, own]) => own.all).toFixed(1),
    median(([other, own]) => own.all / other.all).toFixed(2),
    median(([other, own]) => own.cpu / other.cpu).toFixed(2),
  ];
}
