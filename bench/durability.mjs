// What it costs that a power cut loses nothing: pulls, and pairs of provision and destroy, with and without waiting for the disk.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Provisioner } from '../dist/index.js';
import { makeLayout } from './layouts.mjs';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

export async function run(options) {
  const given = parseOptions(options, { image: '', disk: tmpdir(), rounds: '5', pairs: '200' });
  const scratch = scratchDirectory('durability');
  mkdirSync(given.disk, { recursive: true });
  const onDisk = mkdtempSync(join(given.disk, 'provisioner-bench-'));
  try {
    const image = given.image === '' ? `oci:${await makeLayout(scratch, 'many-files')}` : given.image;
    console.log(`${describeMachine()}\ndisk: ${onDisk}\n`);
    const places = { disk: onDisk, tmpfs: join(scratch, 'stores') };
    const times = {};
    for (let round = 0; round < Number(given.rounds); round++) {
      for (const [place, directory] of Object.entries(places)) {
        for (const unsafeNoSync of [false, true]) {
          const key = `${place}, ${unsafeNoSync ? 'unsafe' : 'durable'}`;
          times[key] ??= { pull: [], provision: [], destroy: [] };
          await measure(
            join(directory, `${round}-${unsafeNoSync}`),
            image,
            unsafeNoSync,
            Number(given.pairs),
            times[key],
          );
        }
      }
    }
    const rows = Object.entries(times).map(([key, { pull, provision, destroy }]) => [
      key,
      (quantile(pull, 0.5) / 1000).toFixed(2),
      quantile(provision, 0.5).toFixed(2),
      quantile(provision, 0.99).toFixed(2),
      quantile(destroy, 0.5).toFixed(2),
      quantile(destroy, 0.99).toFixed(2),
    ]);
    printTable(['store on', 'pull s', 'provision p50 ms', 'p99', 'destroy p50 ms', 'p99'], rows);
  } finally {
    rmSync(onDisk, { recursive: true, force: true });
  }
}

async function measure(root, image, unsafeNoSync, pairs, times) {
  const provisioner = await Provisioner.open({ root, unsafeNoSync });
  try {
    const begun = performance.now();
    await provisioner.pull(image, { name: 'bench' });
    times.pull.push(performance.now() - begun);
    for (let n = 0; n < pairs; n++) {
      const started = performance.now();
      await provisioner.provision(`job-${n}`, 'bench');
      const ready = performance.now();
      await provisioner.destroy(`job-${n}`);
      times.provision.push(ready - started);
      times.destroy.push(performance.now() - ready);
    }
  } finally {
    await provisioner.close();
    rmSync(root, { recursive: true, force: true });
  }
}
