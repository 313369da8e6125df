// A fork of a container against `cp -a --reflink=auto` of what was written in it, in turn. Goals: ≤ 50 ms for 500 MB in few files on xfs; ≤ 1 × cp for 10 000 small files on a tmpfs.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Provisioner } from '../dist/index.js';
import { describeMachine, hasCommand, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

const APP = resolve(import.meta.dirname, '../fixtures/app-v1');
const MB = 2 ** 20;

export async function run(options) {
  const { runs, files } = parseOptions(options, { runs: '9', files: '10000' });
  const scratch = scratchDirectory('fork');
  console.log(`${describeMachine()}\n`);
  const rows = [];
  if (process.getuid() === 0 && hasCommand('mkfs.xfs')) {
    rows.push(
      ...(await onDisk(join(scratch, 'xfs'), (root) => measured(root, '500 MB in 5 files, xfs', Number(runs), large))),
    );
  } else console.log('without root and mkfs.xfs: nothing is measured on xfs');
  rows.push(
    ...(await measured(join(scratch, 'tmpfs'), `${files} files, tmpfs`, Number(runs), (rootfs) =>
      small(rootfs, Number(files)),
    )),
  );
  printTable(['', 'fork ms', 'spread', 'cp ms', 'spread', '× cp'], rows);
}

/** Does work in a file system of a file. */
async function onDisk(place, work) {
  mkdirSync(join(place, 'mounted'), { recursive: true });
  const disk = join(place, 'disk');
  writeFileSync(disk, '');
  truncateSync(disk, 4096 * MB);
  execFileSync('mkfs.xfs', ['-q', '-f', disk]);
  execFileSync('mount', ['-o', 'loop', disk, join(place, 'mounted')]);
  try {
    return await work(join(place, 'mounted'));
  } finally {
    execFileSync('umount', ['--lazy', join(place, 'mounted')]);
  }
}

async function measured(place, name, runs, fill) {
  const provisioner = await Provisioner.open({ root: join(place, 'store') });
  const times = { fork: [], cp: [] };
  try {
    await provisioner.images.pull(`oci:${APP}`, { name: 'bench' });
    const made = await provisioner.provision('prepared', 'bench');
    fill(made.rootfs);
    await provisioner.fork('prepared', 'first');
    const written =
      made.backend === 'overlay'
        ? made.rootfs.replace(/rootfses\/([^/]+)$/, (_, id) => join('scratch', id, 'upper'))
        : made.rootfs;
    for (let run = 0; run < runs; run++) {
      times.fork.push(await timed(() => provisioner.fork('prepared', 'copy')));
      await provisioner.destroy('copy');
      const target = join(place, 'cp');
      times.cp.push(await timed(() => execFileSync('cp', ['-a', '--reflink=auto', written, target])));
      rmSync(target, { recursive: true });
      await provisioner.store.swept();
    }
    for (const id of ['prepared', 'first']) await provisioner.destroy(id);
  } finally {
    await provisioner.close();
  }
  const [fork, cp] = [quantile(times.fork, 0.5), quantile(times.cp, 0.5)];
  return [[name, fork.toFixed(1), spread(times.fork), cp.toFixed(1), spread(times.cp), (fork / cp).toFixed(2)]];
}

function large(rootfs) {
  const bytes = Buffer.alloc(100 * MB, 'provisioner');
  for (let index = 0; index < 5; index++) writeFileSync(join(rootfs, `large-${index}`), bytes);
}

function small(rootfs, files) {
  for (let index = 0; index < files; index++) {
    const directory = join(rootfs, 'small', String(Math.floor(index / 100)));
    if (index % 100 === 0) mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, String(index)), `file ${index}\n`);
  }
}

const spread = (values) => `${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)}`;

async function timed(work) {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
