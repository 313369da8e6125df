// How long prune holds the lock, and what those who provision meanwhile feel.
// Goals: at most 5 ms + 50 µs per removed layer with 1000 layers removed of 2000; provisions wait at most 100 ms (p99.9);
// the p50 of a provision while a sweep goes on is at most twice that of an idle store.

import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Provisioner } from '../dist/index.js';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';
import { makeStore } from './synthetic-store.mjs';

const FIXTURE = fileURLToPath(new URL('../fixtures/app-v2', import.meta.url));
const IMAGES = 200;
const LAYERS = 10;

export async function run(options) {
  const { image, rounds } = parseOptions(options, { image: `oci:${FIXTURE}`, rounds: '5' });
  const scratch = scratchDirectory('prune');
  console.log(`${describeMachine()}\n${IMAGES} images with ${LAYERS} layers each; half of them go\n`);
  const rows = [];
  for (let round = 0; round < Number(rounds); round++) rows.push(await measure(join(scratch, String(round)), image));
  printTable(
    ['layers', 'lock held ms', 'goal', 'µs a layer', 'idle p50 ms', 'in prune max', 'in sweep p50', 'p99.9', 'ratio'],
    rows,
  );
}

async function measure(root, image) {
  await makeStore(root, { images: IMAGES, ownLayers: LAYERS, files: 20 });
  const provisioner = await Provisioner.open({ root });
  try {
    await provisioner.images.pull(image, { name: 'bench' });
    const provisions = new Provisions(provisioner);
    await provisions.during(new Promise((resolve) => setTimeout(resolve, 1000)));
    const idle = provisions.take();
    const kept = Array.from({ length: IMAGES / 2 }, (_, n) => `image-${2 * n}`);
    const pruned = provisioner.pruneImages(['bench', ...kept]);
    await provisions.during(pruned);
    const inPrune = provisions.take();
    await provisions.during(provisioner.store.swept());
    const inSweep = provisions.take();
    const { layers, lockHeld } = await pruned;
    const gone = layers.filter(({ reasons }) => reasons.length === 0).length;
    const p50 = quantile(idle, 0.5);
    return [
      gone,
      lockHeld.toFixed(1),
      (5 + 0.05 * gone).toFixed(0),
      ((lockHeld / gone) * 1000).toFixed(0),
      p50.toFixed(2),
      Math.max(...inPrune).toFixed(1),
      quantile(inSweep, 0.5).toFixed(2),
      quantile(inSweep, 0.999).toFixed(1),
      (quantile(inSweep, 0.5) / p50).toFixed(2),
    ];
  } finally {
    await provisioner.close();
  }
}

/** Provisions and destroys one container after the other, and remembers how long each provision took. */
class Provisions {
  #provisioner;
  #times = [];
  #count = 0;

  constructor(provisioner) {
    this.#provisioner = provisioner;
  }

  async during(work) {
    let over = false;
    const end = work.finally(() => {
      over = true;
    });
    do {
      const id = `bench-${this.#count++}`;
      const begun = performance.now();
      await this.#provisioner.provision(id, 'bench');
      this.#times.push(performance.now() - begun);
      await this.#provisioner.destroy(id);
      // All of it may have happened within one turn of the event loop; the others want theirs.
      await setImmediate();
    } while (!over);
    await end;
  }

  take() {
    return this.#times.splice(0);
  }
}
