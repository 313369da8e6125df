// @ts-check
/*
 * node power-cut.mjs OPTIONS     (in a mount namespace of its own; see `cutPower`)
 *
 * Cuts the power under processes that use a store, as far as the disk can tell. What a cut leaves is what the device has: not what lies in the page cache
 * above it. So the store is on a file system of its own, ext4 as mkfs makes it, in a file behind a loop device:
 *
 *   processes ──► page cache ──► ext4 `disk` ──► loop device ──► inner.img in ext4 `outer` ──► loop device ──► outer.img on tmpfs
 *                                                   ▲
 *                                                   └ what has come through here is what a cut leaves
 *
 * A copy takes some milliseconds, and writes that go on meanwhile would make it a mixture of instants which no disk ever held. So the file system that
 * holds the file is frozen first: freezing writes out that file system and not the one in the file, and from then on the loop device's writes
 * wait. Nobody else stops: the processes run on until they need the device, in the middle of a commit or of anything else.
 *
 * The copy is mounted, which replays its journal, and recovered by a new process in a namespace of its own with another boot id, because to that
 * process all others must be as dead as after a real cut.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, realpathSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Random } from '../fuzz/random.mjs';
import { Crew, Ledger, OWNERS } from './crew.mjs';

/** @typedef {import('./cut-power.mjs').CutOptions} CutOptions */

const AFTER = fileURLToPath(new URL('./after-cut.mjs', import.meta.url));
const MIB = 1024 * 1024;

/** @type {CutOptions} */
const { cuts, seed, seconds, unsafe, mountsOnly = false } = JSON.parse(process.argv[2] ?? '');
const random = new Random(seed);
const started = performance.now();
let isOver = false;
// Whoever started this is gone: time to clean up, and nobody to tell.
process.stdin.resume().on('close', () => {
  isOver = true;
});
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
const log = (/** @type {string} */ line) => process.stderr.write(`${line}\n`);
const crew = await Crew.gather(unsafe ? 6 : 1);
const report = {
  cuts: 0,
  operations: 0,
  damaged: 0,
  damagedFiles: 0,
  /** @type {string[]} */ problems: [],
  summary: '',
};
const outer = join(crew.directory, 'outer');
const disk = join(crew.directory, 'disk');
try {
  makeDisk(join(crew.directory, 'outer.img'), 512, outer);
  makeDisk(join(outer, 'inner.img'), 192, disk);
  if (unsafe) writeEarly(disk);
  await cutOften();
} finally {
  for (const worker of [...crew.workers]) await worker.kill();
  // What is still mounted goes with the namespace, and the loop devices go with their mounts.
  for (const mounted of [disk, outer]) tryRun('umount', '--lazy', mounted);
  await crew.disband();
}
process.stdout.write(JSON.stringify(report));
process.stdin.destroy();

async function cutOften() {
  const ledger = new Ledger();
  const root = join(disk, 'store');
  const workers = Array.from({ length: mountsOnly ? 1 : 3 }, (_, index) => {
    const owner = OWNERS[index % 2] ?? 'one';
    return crew.start({ root, owner, seed: random.below(2 ** 31), lanes: 2, unsafeNoSync: unsafe, mountsOnly });
  });
  await Promise.all(workers.map((worker) => worker.ready()));
  while (!isOver && report.cuts < cuts && performance.now() - started < seconds * 1000) {
    await sleep(random.between(20, unsafe ? 1500 : 500));
    const image = join(crew.directory, 'cut.img');
    // What was told before the instant must be there; what is told while the copy is made is in doubt.
    const before = workers.map((worker) => worker.told);
    run('fsfreeze', '--freeze', outer);
    try {
      run('cp', '--sparse=always', join(outer, 'inner.img'), image);
    } finally {
      run('fsfreeze', '--unfreeze', outer);
    }
    for (const [index, worker] of workers.entries()) ledger.add(worker.news(before[index]), worker.owner);
    const atCut = ledger.withDoubts(workers.flatMap((worker) => worker.peek()));
    const problems = [...ledger.faults, ...(await lookAfterCut(image, atCut))];
    rmSync(image);
    report.cuts++;
    if (problems.length > 0) report.damaged++;
    if (problems.some((problem) => /: \.\/.*: is /.test(problem))) report.damagedFiles++;
    log(`cut ${report.cuts}: ${ledger.operations} operations told, ${problems.length} problems`);
    report.problems.push(...problems.slice(0, 10).map((problem) => `seed ${seed}, cut ${report.cuts}: ${problem}`));
    if (problems.length > 0) break;
  }
  report.operations = ledger.operations;
  report.summary = ledger.summary;
}

/** @param {string} image @param {Ledger} ledger @returns {Promise<string[]>} */
async function lookAfterCut(image, ledger) {
  const place = join(crew.directory, 'after');
  mkdirSync(place, { recursive: true });
  const bootId = join(crew.directory, 'boot-id');
  writeFileSync(bootId, '00000000-0000-4000-8000-000000000000\n');
  const { containers, names, absentNames } = ledger.told();
  const told = {
    containers: [...containers].map(([id, container]) => [id, { ...container, files: [...container.files] }]),
    names: [...names],
    absentNames,
    known: OWNERS.map((owner) => [owner, ledger.known(owner)]),
  };
  const file = join(crew.directory, 'told.json');
  writeFileSync(file, JSON.stringify(told));
  const script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && mount -o loop "$2" "$3" && shift 3 && exec "$@"';
  const command = [process.execPath, AFTER, join(place, 'store'), crew.referenceFile, file];
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', bootId, image, place, ...command],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const status = await new Promise((resolve) => child.once('close', resolve));
  return status === 0 ? JSON.parse(output) : [`looking after the cut ended with ${status}: ${output}`];
}

/** @param {string} file @param {number} mebibytes @param {string} place */
function makeDisk(file, mebibytes, place) {
  writeFileSync(file, '');
  truncateSync(file, mebibytes * MIB);
  run('mkfs.ext4', '-q', '-F', file);
  mkdirSync(place);
  run('mount', '-o', 'loop', file, place);
}

/**
 * The kernel writes out what has waited for half a minute, or what is too much. For a test that cannot wait, little is too much: of this device alone. Where
 * that cannot be set, damage takes longer to show.
 * @param {string} place
 */
function writeEarly(place) {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((text) => text.split(' ')[4] === realpathSync(place));
  const device = line?.split(' ')[2];
  const knobs = `/sys/class/bdi/${device}`;
  for (const [knob, value] of [
    ['strict_limit', '1'],
    ['max_bytes', String(2 * MIB)],
  ]) {
    try {
      writeFileSync(join(knobs, String(knob)), String(value));
    } catch (error) {
      log(`cannot set ${knob} of the disk: ${error}`);
    }
  }
}

/** @param {string} command @param {string[]} args */
function run(command, ...args) {
  const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`;
  execFileSync(command, args, { env: { ...process.env, PATH }, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** @param {string} command @param {string[]} args */
function tryRun(command, ...args) {
  try {
    run(command, ...args);
  } catch {
    // It was not mounted.
  }
}
