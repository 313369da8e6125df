// Removing trees as the sweeper does, each as one job for a worker thread, against `rm -rf` of the same, in turn. Goal: at most 1.2 × rm -rf.
// Processor time is told too, for machines that are not quiet.
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { WorkerPool } from '../build/workers/worker-pool.js';
import { Provisioner } from '../dist/index.js';
import { makeLayout } from './layouts.mjs';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

export async function run(options) {
  const { layout, runs, shape } = parseOptions(options, { layout: '', runs: '5', shape: 'many-files' });
  const scratch = scratchDirectory('sweep');
  const source = layout === '' ? await makeLayout(scratch, shape) : resolve(layout);
  const { layers, rootfs } = await unpacked(source, join(scratch, 'store'));
  console.log(`${describeMachine()}\n${source}: ${readdirSync(layers).length} layers\n`);
  const pool = new WorkerPool(availableParallelism());
  const target = join(scratch, 'target');
  const sweep = (paths) => Promise.all(paths.map((path) => pool.run('remove-tree', { path })));
  const ours = async (paths) => {
    const before = process.cpuUsage();
    await sweep(paths);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
  const contenders = [
    { name: 'one tree: provisioner', tree: rootfs, remove: () => ours([target]) },
    { name: 'one tree: rm -rf', tree: rootfs, remove: () => rm([target]) },
    { name: 'all layers: provisioner', tree: layers, remove: () => ours(children(target)) },
    { name: 'all layers: rm -rf', tree: layers, remove: () => rm(children(target)) },
  ];
  const results = new Map(contenders.map(({ name }) => [name, []]));
  for (let run = 0; run < Number(runs); run++) {
    for (const { name, tree, remove } of contenders) {
      execFileSync('cp', ['-a', tree, target]);
      // Threads that have just started have their code to compile.
      await sweep(Array.from({ length: pool.size }, () => join(scratch, 'nothing')));
      const started = performance.now();
      const processor = await remove();
      results.get(name).push({ seconds: (performance.now() - started) / 1000, processor });
      rmSync(target, { recursive: true, force: true });
    }
  }
  await pool.close();
  report(results);
}

/** Where the layers of an image are, and a root filesystem copied from them. */
async function unpacked(source, root) {
  const provisioner = await Provisioner.open({ root });
  try {
    await provisioner.images.pull(`oci:${source}`, { name: 'bench' });
    const { rootfs } = await provisioner.provision('tree', 'bench', { backend: 'copy' });
    return { layers: join(root, 'layers'), rootfs };
  } finally {
    await provisioner.close();
  }
}

function children(directory) {
  return readdirSync(directory).map((name) => join(directory, name));
}

/** @returns the processor time it took, in seconds */
function rm(paths) {
  const script = 'TIMEFORMAT="%U %S"; time rm -rf -- "$@"';
  const { stderr } = spawnSync('bash', ['-c', script, 'rm', ...paths], { encoding: 'utf8' });
  const [user, system] = stderr.trim().split(' ').map(Number);
  return user + system;
}

function report(results) {
  const median = (values, key) =>
    quantile(
      values.map((value) => value[key]),
      0.5,
    );
  const rows = [...results].map(([name, values]) => {
    const reference = results.get(`${name.split(':')[0]}: rm -rf`);
    const seconds = values.map((value) => value.seconds);
    const ratio = (key) => (median(values, key) / median(reference, key)).toFixed(2);
    const spread = `${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)}`;
    const own = [median(values, 'seconds').toFixed(2), spread, ratio('seconds')];
    return [name, ...own, median(values, 'processor').toFixed(2), ratio('processor')];
  });
  printTable(['', 'median s', 'spread', '× rm -rf', 'processor s', '× rm -rf'], rows);
}
