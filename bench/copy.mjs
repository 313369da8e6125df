// The copy backend against `cp -a` of the same tree, in turn. Goal: at most 0.8 × cp -a on a tmpfs with two cores.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Provisioner } from '../dist/index.js';
import { makeLayout } from './layouts.mjs';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

export async function run(options) {
  const { layout, runs, shape } = parseOptions(options, { layout: '', runs: '5', shape: 'many-files' });
  const scratch = scratchDirectory('copy');
  const source = layout === '' ? await makeLayout(scratch, shape) : resolve(layout);
  const provisioner = await Provisioner.open({ root: join(scratch, 'store') });
  try {
    const { bytes, layers } = await provisioner.images.pull(`oci:${source}`, { name: 'bench' });
    const { rootfs } = await provisioner.provision('original', 'bench', { backend: 'copy' });
    console.log(
      `${describeMachine()}\n${source}: ${layers.length} layers with seams, ${(bytes / 1e6).toFixed(0)} MB unpacked\n`,
    );
    const seconds = { 'copy backend': [], 'cp -a': [] };
    for (let run = 0; run < Number(runs); run++) {
      seconds['copy backend'].push(await timed(() => provisioner.provision('copy', 'bench', { backend: 'copy' })));
      await provisioner.destroy('copy');
      const target = join(scratch, 'cp');
      seconds['cp -a'].push(await timed(() => execFileSync('cp', ['-a', rootfs, target])));
      rmSync(target, { recursive: true });
    }
    await provisioner.destroy('original');
    const reference = quantile(seconds['cp -a'], 0.5);
    const rows = Object.entries(seconds).map(([name, values]) => {
      const median = quantile(values, 0.5);
      const spread = `${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)}`;
      return [name, median.toFixed(2), spread, (median / reference).toFixed(2)];
    });
    printTable(['', 'median s', 'spread', '× cp -a'], rows);
  } finally {
    await provisioner.close();
  }
}

async function timed(work) {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}
