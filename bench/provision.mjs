// Provision and destroy of a stored 4-layer image, one after the other and several at a time.
// Goal: at least 1500 pairs a second and a p50 of at most 0.6 ms for each call, with overlay on a tmpfs.
import { fileURLToPath } from 'node:url';
import { Provisioner } from '../dist/index.js';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

const FIXTURE = fileURLToPath(new URL('../fixtures/app-v2', import.meta.url));
const WARM_UP = 200;

export async function run(options) {
  const { image, count, backend } = parseOptions(options, { image: `oci:${FIXTURE}`, count: '3000', backend: 'auto' });
  const provisioner = await Provisioner.open({ root: scratchDirectory('provision'), backend });
  try {
    const { id, layers } = await provisioner.images.pull(image, { name: 'bench' });
    console.log(`${describeMachine()}\n${id.slice(0, 19)}, ${layers.length} layers with seams\n`);
    await measure(provisioner, WARM_UP, 1);
    const rows = [];
    for (const parallel of [1, 4, 16]) rows.push(row(parallel, await measure(provisioner, Number(count), parallel)));
    printTable(['at a time', 'pairs/s', 'provision p50 ms', 'p99', 'destroy p50 ms', 'p99'], rows);
  } finally {
    await provisioner.close();
  }
}

async function measure(provisioner, count, parallel) {
  const provision = [];
  const destroy = [];
  let next = 0;
  const started = performance.now();
  const one = async () => {
    while (next < count) {
      const id = `bench-${next++}`;
      const begun = performance.now();
      await provisioner.provision(id, 'bench');
      const ready = performance.now();
      await provisioner.destroy(id);
      provision.push(ready - begun);
      destroy.push(performance.now() - ready);
    }
  };
  await Promise.all(Array.from({ length: parallel }, one));
  return { perSecond: (count / (performance.now() - started)) * 1000, provision, destroy };
}

function row(parallel, { perSecond, provision, destroy }) {
  const figures = [provision, destroy].flatMap((values) => [quantile(values, 0.5), quantile(values, 0.99)]);
  return [parallel, perSecond.toFixed(0), ...figures.map((figure) => figure.toFixed(2))];
}
