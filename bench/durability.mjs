// What it costs that a power cut loses nothing: pulls, and pairs of provision and destroy, with and without waiting for the disk. A disk is faster in one minute than in
// the next, so each is done right after the other, and what is told is the difference between the two.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Provisioner } from '../dist/index.js';
import { makeLayout } from './layouts.mjs';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

export async function run(options) {
  const given = parseOptions(options, { image: '', disk: tmpdir(), rounds: '5', pairs: '1000' });
  const scratch = scratchDirectory('durability');
  mkdirSync(given.disk, { recursive: true });
  const onDisk = mkdtempSync(join(given.disk, 'provisioner-bench-'));
  try {
    const image = given.image === '' ? `oci:${await makeLayout(scratch, 'many-files')}` : given.image;
    console.log(`${describeMachine()}\ndisk: ${onDisk}\n`);
    const rows = [];
    for (const [place, directory] of Object.entries({ tmpfs: join(scratch, 'stores'), disk: onDisk })) {
      const times = await measure(directory, image, Number(given.rounds), Number(given.pairs));
      for (const [what, { durable, unsafe }] of Object.entries(times))
        rows.push(row(`${what}, ${place}`, durable, unsafe));
    }
    printTable(['', 'times', 'durable, ms', 'not', 'difference', '95 %: from', 'to', 'p99 durable', 'not'], rows);
  } finally {
    rmSync(onDisk, { recursive: true, force: true });
  }
}

/** Milliseconds of each, where those at the same place belong together. */
async function measure(directory, image, rounds, pairs) {
  const times = {};
  const take = async (what, kind, work) => {
    const begun = performance.now();
    await work();
    times[what] ??= { durable: [], unsafe: [] };
    times[what][kind].push(performance.now() - begun);
  };
  for (let round = 0; round < rounds; round++) {
    const stores = [];
    for (const kind of inTurn(round)) {
      const provisioner = await Provisioner.open({
        root: join(directory, `${round}-${kind}`),
        unsafeNoSync: kind === 'unsafe',
      });
      await take('pull', kind, () => provisioner.images.pull(image, { name: 'bench' }));
      stores.push({ kind, provisioner });
    }
    for (let n = 0; n < pairs / rounds; n++) {
      for (const { kind, provisioner } of n % 2 === 0 ? stores : stores.toReversed()) {
        await take('provision', kind, () => provisioner.provision(`job-${n}`, 'bench'));
        await take('destroy', kind, () => provisioner.destroy(`job-${n}`));
      }
    }
    for (const { provisioner } of stores) await provisioner.close();
    rmSync(directory, { recursive: true, force: true });
  }
  return times;
}

function inTurn(round) {
  return round % 2 === 0 ? ['durable', 'unsafe'] : ['unsafe', 'durable'];
}

function row(title, durable, unsafe) {
  const differences = durable.map((milliseconds, index) => milliseconds - unsafe[index]);
  // Of the median, whatever the distribution: so many of the ordered values lie on either side of it in 95 of 100 cases.
  const margin = (1.96 * Math.sqrt(differences.length)) / 2 / differences.length;
  const told = [0.5, Math.max(0.5 - margin, 0), Math.min(0.5 + margin, 1)].map((share) => quantile(differences, share));
  const median = [durable, unsafe].map((values) => quantile(values, 0.5));
  const late = [durable, unsafe].map((values) => quantile(values, 0.99));
  return [title, durable.length, ...[...median, ...told, ...late].map((value) => value.toFixed(2))];
}
