// What a network costs a launch: none, a namespace that was ready, one that is made for it, and podman's, with how long it takes to give that back. As root, with crun, busybox and netavark; podman where it is.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { openContainerizer } from '../dist/containerizer.js';
import { Provisioner } from '../dist/index.js';
import { busyboxImage } from '../fixtures/busybox-image.mjs';
import { writeOciLayout } from '../fixtures/image-builder.mjs';
import { describeMachine, hasCommand, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

const sleep = (/** @type {number} */ milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function run(/** @type {string[]} */ options) {
  const { launches: given } = parseOptions(options, { launches: '30' });
  const launches = Number(given);
  const scratch = scratchDirectory('networks');
  console.log(`${describeMachine()}\n`);
  const layout = join(scratch, 'layout');
  await writeOciLayout(layout, [{ image: busyboxImage(), refName: 'bench' }]);
  const provisioner = await Provisioner.open({ root: join(scratch, 'store') });
  await provisioner.images.pull(`oci:${layout}`, { name: 'bench:1' });
  const c = await openContainerizer({ provisioner });
  let next = 0;
  const launch = async (/** @type {string} */ network) => {
    const id = `job-${next++}`;
    const begun = performance.now();
    await c.launch(id, 'bench:1', { command: ['sleep', '100'], network });
    const launched = performance.now();
    await c.destroy(id, { running: 'kill' });
    return { launch: launched - begun, destroy: performance.now() - launched };
  };
  /** @type {Record<string, { launch: number, destroy: number }[]>} */
  const times = { none: [], ready: [], made: [] };
  const ready = async () => (await c.networks.get('bridge'))?.ready ?? 0;
  await launch('none');
  for (let turn = 0; turn < launches; turn++) times['made']?.push(await launch('bridge'));
  await openContainerizer({ provisioner, readyNetworks: { bridge: 3 } });
  for (let turn = 0; turn < launches; turn++) {
    // Nothing is made while it is measured.
    while ((await ready()) < 3) await sleep(20);
    await sleep(50);
    times['none']?.push(await launch('none'));
    times['ready']?.push(await launch('bridge'));
  }
  await provisioner.close();
  const podman = hasCommand('podman') ? podmanTimes(layout, launches) : undefined;
  const median = (/** @type {number[]} */ all) => quantile(all, 0.5);
  const base = median((times['none'] ?? []).map((one) => one.launch));
  printTable(
    ['network', 'launch p50', 'p99', '× none', 'destroy p50'],
    Object.entries(times).map(([name, all]) => {
      const own = all.map((one) => one.launch);
      return [
        name,
        `${median(own).toFixed(1)} ms`,
        `${quantile(own, 0.99).toFixed(1)} ms`,
        (median(own) / base).toFixed(2),
        `${median(all.map((one) => one.destroy)).toFixed(1)} ms`,
      ];
    }),
  );
  if (podman !== undefined) {
    console.log(
      `\npodman run -d: ${podman.none.toFixed(0)} ms with --network none, ${podman.bridge.toFixed(0)} ms with a bridge (medians)`,
    );
  }
}

function podmanTimes(/** @type {string} */ layout, /** @type {number} */ launches) {
  spawnSync('skopeo', ['copy', '-q', `oci:${layout}:bench`, 'containers-storage:localhost/provisioner-bench:1']);
  const times = (/** @type {string} */ network) =>
    Array.from({ length: launches }, () => {
      const begun = performance.now();
      const args = ['run', '-d', '--network', network, 'localhost/provisioner-bench:1', 'sleep', '100'];
      const { stdout } = spawnSync('podman', args, { encoding: 'utf8' });
      const took = performance.now() - begun;
      spawnSync('podman', ['rm', '-f', '-t', '0', stdout.trim()]);
      return took;
    });
  const result = { none: quantile(times('none'), 0.5), bridge: quantile(times('bridge'), 0.5) };
  spawnSync('podman', ['rmi', '-f', 'localhost/provisioner-bench:1']);
  return result;
}
