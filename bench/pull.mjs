// Pulls an image from a registry on loopback, in turn: ours, the same image compressed with zstd, containerd, podman, and our own unpack from the layout that the registry was filled from; then
// two images by way of a proxy that lets each connection bring only so much.
// Goals for a large image of gzip layers on two cores: at most 0.18 × containerd 1.7, at most 1.2 × our own unpack, at most 250 MB; of zstd layers at most 0.9 × that of gzip. Five layers at 600 kB/s a
// connection: at most 0.7 × podman; one of 300 MB at 20 MB/s: a third of what one connection takes.
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { makeLayout } from './layouts.mjs';
import { describeMachine, hasCommand, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';
import { containerd, ours, podman, push, pushAsZstd, startRegistry, timed } from './pullers.mjs';
import { slowWay } from './servers.mjs';

/** `--within COMMAND` runs containerd by that command, such as a script that enters another root file system; SCRATCH in its environment names the directory it must see. */
export async function run(options) {
  const { image, runs, shape, only, within, tables } = parseOptions(options, {
    image: '',
    runs: '5',
    shape: '',
    only: '',
    within: '',
    tables: 'loopback,five-layers,one-large-layer',
  });
  if (!hasCommand('docker-registry') || !hasCommand('skopeo')) {
    console.error('this needs docker-registry and skopeo');
    process.exit(1);
  }
  const scratch = scratchDirectory('pull');
  const registry = await startRegistry(join(scratch, 'registry'));
  console.log(describeMachine());
  const wanted = (name) => tables.split(',').includes(name);
  const inTurn = (contenders) =>
    roundsOf(
      scratch,
      Number(runs),
      contenders.filter(({ name }) => only === '' || name.startsWith('ours') || name.includes(only)),
    );
  try {
    if (wanted('loopback')) {
      const layout =
        image === '' ? await makeLayout(scratch, shape || 'many-files') : resolve(image.replace(/^oci:/, ''));
      const reference = `localhost:${registry.port}/bench`;
      push(layout, `${reference}:1`, ['--preserve-digests']);
      pushAsZstd(layout, `${reference}:zstd`, join(scratch, 'plain'));
      console.log(`\n${layout} by ${reference}, ${runs} runs\n`);
      report(await inTurn(contendersFor(reference, layout, within)));
      console.log('\ngoals: 0.18 of containerd 1.7, 1.2 of ours from the layout, 250 MB; of zstd 0.9 of gzip');
      console.log(
        'CPU is that of the contender with its daemon, without the registry; the memory of containerd is that of its daemon',
      );
    }
    for (const [name, { bytesPerSecond, goal, against }] of Object.entries(SLOW)) {
      if (!wanted(name)) continue;
      push(await makeLayout(scratch, name), `localhost:${registry.port}/${name}:1`, ['--preserve-digests']);
      const way = await slowWay(registry.port, bytesPerSecond);
      console.log(`\n${name}, ${bytesPerSecond / 1000} kB/s a connection, ${runs} runs\n`);
      report(await inTurn(against(`localhost:${way.port}/${name}:1`).filter(isThere)));
      console.log(`\ngoal: ${goal}`);
      way.stop();
    }
  } finally {
    registry.stop();
  }
}

/** By shape of the image. */
const SLOW = {
  'five-layers': {
    bytesPerSecond: 600_000,
    goal: '0.7 of podman',
    against: (reference) => [
      { name: 'ours', needs: [], pull: (target) => ours(`docker://${reference}`, target) },
      { name: `podman ${version([], 'podman')}`, needs: ['podman'], pull: (target) => podman(reference, target) },
    ],
  },
  'one-large-layer': {
    bytesPerSecond: 20_000_000,
    goal: '0.33 of one connection',
    against: (reference) => [
      { name: 'ours', needs: [], pull: (target) => ours(`docker://${reference}`, target) },
      {
        name: 'ours, one connection',
        needs: [],
        pull: (target) => ours(`docker://${reference}`, target, { registry: { connectionsPerHost: 1 } }),
      },
    ],
  },
};

async function roundsOf(scratch, runs, contenders) {
  const results = new Map(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < runs; round++) {
    for (const { name, pull } of contenders) results.get(name).push(await timed(scratch, pull));
  }
  return results;
}

function contendersFor(reference, layout, within) {
  const prefix = within.split(' ').filter(Boolean);
  return [
    { name: 'ours', needs: [], pull: (target) => ours(`docker://${reference}:1`, target) },
    { name: 'ours, zstd', needs: [], pull: (target) => ours(`docker://${reference}:zstd`, target) },
    { name: 'ours from the layout', needs: [], pull: (target) => ours(`oci:${layout}`, target) },
    {
      name: `containerd ${version(prefix, 'containerd')}`,
      needs: prefix.length > 0 ? [] : ['containerd', 'ctr'],
      pull: (target) => containerd(prefix, `${reference}:1`, target),
    },
    {
      name: `podman ${version([], 'podman')}`,
      needs: ['podman'],
      pull: (target) => podman(`${reference}:1`, target),
    },
  ].filter(isThere);
}

function isThere({ name, needs }) {
  if (needs.every(hasCommand)) return true;
  console.log(`not installed: ${name.trim()}`);
  return false;
}

function version(prefix, command) {
  const [program, ...args] = [...prefix, command, '--version'];
  const { stdout } = spawnSync(program, args, { encoding: 'utf8' });
  return /\d+\.\d+\.\d+/.exec(stdout ?? '')?.[0] ?? '';
}

function report(results) {
  const median = (name) => quantile(results.get(name)?.map(({ seconds }) => seconds) ?? [], 0.5);
  const mine = median('ours');
  const rows = [...results].map(([name, values]) => {
    const seconds = values.map((value) => value.seconds);
    const memory = Math.max(...values.map((value) => value.memory ?? 0));
    return [
      name,
      median(name).toFixed(2),
      `${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)}`,
      (mine / median(name)).toFixed(3),
      quantile(
        values.map(({ cpu }) => cpu),
        0.5,
      ).toFixed(2),
      memory ? memory.toFixed(0) : '-',
    ];
  });
  printTable(['', 'median s', 'spread', 'ours / this', 'CPU s', 'peak MB'], rows);
}
