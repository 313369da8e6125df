// What a seam takes: a layer with so many files in a directory that it only implies, where the layer below has a symlink to another one, so that all of them are written
// once more. Goal: at most 1 s of processor time for 8000. Half as many are told too: what is in proportion takes half the time.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_UNPACK_LIMITS } from '../build/base/config.js';
import { makeSeam } from '../build/seams/make-seam.js';
import { loadSyscalls } from '../build/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../build/system/syscalls/load-tree-calls.js';
import { unpackLayer } from '../build/unpack/unpack-layer.js';
import { buildLayer } from '../fixtures/image-builder.mjs';
import { describeMachine, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

const privileged = process.getuid() === 0;
const format = privileged ? 'trusted' : 'plain';

export async function run(options) {
  const { entries, runs } = parseOptions(options, { entries: '8000', runs: '5' });
  const scratch = scratchDirectory('seams');
  console.log(`${describeMachine()}\n`);
  const base = await unpacked(join(scratch, 'base'), [
    { path: 'usr/lib/' },
    { path: 'lib', type: 'symlink', target: 'usr/lib' },
    { path: 'file', content: 'x' },
  ]);
  const rows = [];
  for (const count of [Number(entries) / 2, Number(entries)]) {
    const numbers = Array.from({ length: count }, (_, index) => index);
    const moved = await unpacked(
      join(scratch, `moved-${count}`),
      numbers.map((index) => ({ path: `lib/f${index}`, content: 'x' })),
    );
    const linked = await unpacked(
      join(scratch, `linked-${count}`),
      numbers.map((index) => ({ path: `l${index}`, type: 'hardlink', target: 'file' })),
    );
    const cases = [
      [`${count} implied entries`, { stack: [base, moved], directories: true, linking: [] }],
      [`${count} links`, { stack: [base, linked], directories: false, linking: [{ layer: 1, end: 2 }] }],
    ];
    for (const [name, wanted] of cases) {
      const times = [];
      for (let run = 0; run < Number(runs); run++) times.push(await timed(wanted, join(scratch, 'seam')));
      const spread = `${Math.min(...times).toFixed(2)}–${Math.max(...times).toFixed(2)}`;
      rows.push([name, quantile(times, 0.5).toFixed(2), spread]);
    }
  }
  printTable(['', 'median processor s', 'spread'], rows);
}

/** @returns seconds of processor time */
async function timed(wanted, target) {
  mkdirSync(target);
  const before = process.cpuUsage();
  const request = { ...wanted, target, whiteouts: format, privileged, limits: DEFAULT_UNPACK_LIMITS };
  const { entries } = await makeSeam(request, loadTreeCalls(loadSyscalls()));
  const { user, system } = process.cpuUsage(before);
  if (entries === 0) throw new Error('no seam was made');
  rmSync(target, { recursive: true });
  return (user + system) / 1e6;
}

/** @returns the layer's directory */
async function unpacked(directory, entries) {
  const { tar, diffId } = buildLayer(entries);
  writeFileSync(`${directory}.tar`, tar);
  mkdirSync(directory);
  const blob = { path: `${directory}.tar`, offset: 0, size: tar.length };
  const request = { blob, digest: undefined, diffId, directory, format, privileged, limits: DEFAULT_UNPACK_LIMITS };
  const signal = new AbortController().signal;
  await unpackLayer(request, { syscalls: loadSyscalls(), signal, progress: () => {}, hasSpareProcessor: () => true });
  return directory;
}
