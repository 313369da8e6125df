// From a key to what it shows: at the terminal of a container's program, of one that `exec` runs, and at one that conmon has, by its own socket. As root, with crun, busybox and conmon.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openContainerizer } from '../dist/containerizer.js';
import { Provisioner } from '../dist/index.js';
import { busyboxImage } from '../fixtures/busybox-image.mjs';
import { writeOciLayout } from '../fixtures/image-builder.mjs';
import { describeMachine, hasCommand, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';

const UNIFIED = '/sys/fs/cgroup/unified';
const SIZE = { rows: 24, columns: 80 };
const PAUSE = 5;
const sleep = (/** @type {number} */ milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Types at a socket of conmon, of packets, and waits for each to show; prints microseconds. */
const CLIENT = String.raw`
use strict; use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC usleep);
my ($path, $keys, $pause) = @ARGV;
my $s; socket($s, 1, 5, 0) && connect($s, pack('S a*', 1, "$path\0")) or die "connect: $!";
for my $n (1 .. $keys) {
  my $t = clock_gettime(CLOCK_MONOTONIC);
  syswrite($s, 'a'); sysread($s, my $bytes, 8192);
  printf "%d\n", (clock_gettime(CLOCK_MONOTONIC) - $t) * 1e6;
  usleep($pause * 1000);
}`;

export async function run(/** @type {string[]} */ options) {
  const { keys: given } = parseOptions(options, { keys: '300' });
  const keys = Number(given);
  const scratch = scratchDirectory('terminals');
  console.log(`${describeMachine()}\n`);
  const provisioner = await Provisioner.open({ root: join(scratch, 'store') });
  await writeOciLayout(join(scratch, 'layout'), [{ image: busyboxImage(), refName: 'bench' }]);
  await provisioner.images.pull(`oci:${join(scratch, 'layout')}`, { name: 'bench:1' });
  const c = await openContainerizer({ provisioner });
  const { launchId } = await c.launch('job', 'bench:1', { command: ['cat'], terminal: SIZE });

  const { terminal, output } = await c.attach('job');
  /** @type {(() => void) | undefined} */
  let shown;
  void (async () => {
    for await (const _ of output) shown?.();
  })();
  const type = async (/** @type {import('node:stream').Writable} */ input) => {
    const times = [];
    for (let key = 0; key < keys; key++) {
      const seen = new Promise((resolve) => {
        shown = () => resolve(undefined);
      });
      const begun = performance.now();
      input.write('a');
      await seen;
      times.push(performance.now() - begun);
      await sleep(PAUSE);
    }
    return times;
  };
  await sleep(200);
  const attached = await type(terminal.input);
  const run = await c.exec('job', ['cat'], { terminal: SIZE });
  run.stderr.resume();
  run.stdout.on('data', () => shown?.());
  await sleep(200);
  const executed = run.terminal === undefined ? [] : await type(run.terminal.input);
  const bundle = join(scratch, 'store/launches', launchId, 'bundle');
  const peer = hasCommand('conmon') ? await typedAtConmon(scratch, bundle, keys) : [];
  const row = (/** @type {string} */ name, /** @type {number[]} */ times) =>
    times.length === 0 ? [name, '–', '–'] : [name, quantile(times, 0.5).toFixed(2), quantile(times, 0.99).toFixed(2)];
  printTable(
    ['from a key to what it shows', 'ms p50', 'p99'],
    [row('attach', attached), row('exec', executed), row('conmon, its socket', peer)],
  );
  await c.destroy('job', { running: 'kill' });
  await c.close();
  await provisioner.close();
}

/** A container of the same bundle, with a terminal of conmon's. */
async function typedAtConmon(/** @type {string} */ scratch, /** @type {string} */ bundle, /** @type {number} */ keys) {
  const place = join(scratch, 'conmon');
  for (const name of ['', 'bundle', 'exits', 'sockets', 'state']) mkdirSync(join(place, name), { recursive: true });
  const config = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'));
  config.linux.cgroupsPath = '/provisioner-bench-terminals';
  writeFileSync(join(place, 'bundle/config.json'), JSON.stringify(config));
  const hide = existsSync(join(UNIFIED, 'cgroup.controllers')) ? `mount -t tmpfs none ${UNIFIED};` : '';
  const crun = `crun --root ${place}/state --cgroup-manager cgroupfs`;
  const script = `${hide} conmon --api-version 1 -c peer -u peer -r "$(command -v crun)" -b ${place}/bundle --persist-dir ${place} -p ${place}/pid --exit-dir ${place}/exits -t --socket-dir-path ${place}/sockets \
    -l k8s-file:${place}/log --runtime-arg=--root --runtime-arg=${place}/state --runtime-arg=--cgroup-manager --runtime-arg=cgroupfs && sleep 0.5 && ${crun} start peer && sleep 0.3 &&
    perl -e "$CLIENT" ${place}/sockets/peer/attach ${keys} ${PAUSE}; ${crun} delete -f peer`;
  const child = spawn('unshare', ['-m', 'sh', '-c', script], {
    env: { ...process.env, CLIENT },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const piece of child.stdout) text += piece;
  return text
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => Number(line) / 1000);
}
