// Launches, against the runtime alone and against podman, in turn in one run: as root, with crun and gcc. What the runtime is given is the bundle of one of our launches.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepareSeccomp } from '../build/containerizer/seccomp/prepare-seccomp.js';
import { openContainerizer } from '../dist/containerizer.js';
import { Provisioner } from '../dist/index.js';
import { describeMachine, hasCommand, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';
import { makePrograms } from './run-programs.mjs';

const UNIFIED = '/sys/fs/cgroup/unified';
/** What crun and podman must not see, in which they refuse to work. */
const HIDDEN = existsSync(join(UNIFIED, 'cgroup.controllers')) ? UNIFIED : '';
/** Its own are above what a container may have here. */
const PODMAN_LIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
const now = () => Number(process.hrtime.bigint());
const median = (/** @type {number[]} */ values) => quantile(values, 0.5);

export async function run(options) {
  if (options[0] === '--inside') return inside(options[1], options.slice(2));
  const given = parseOptions(options, { rounds: '5', batch: '10', containers: '100', only: '.' });
  const [rounds, batch, containers] = [given.rounds, given.batch, given.containers].map(Number);
  const only = new RegExp(given.only);
  const scratch = scratchDirectory('run');
  const root = join(scratch, 'store');
  console.log(`${describeMachine()}, ${execFileSync('crun', ['--version'], { encoding: 'utf8' }).split('\n')[0]}\n`);
  const { timed, image } = makePrograms(join(scratch, 'programs'));
  const commandLine = [
    process.execPath,
    fileURLToPath(new URL('../dist/cli/main.js', import.meta.url)),
    '--root',
    root,
  ];
  execFileSync(commandLine[0], [...commandLine.slice(1), '--quiet', 'load', '-i', image]);
  const provisioner = await Provisioner.open({ root });
  const c = await openContainerizer({ provisioner });
  const podman = hasCommand('podman') ? preparePodman(scratch, image, timed) : undefined;
  if (podman === undefined) console.log('podman is not installed, or does not work here: left out');

  const stay = await c.launch('stay', 'bench:1', { command: ['/bin/stay'] });
  const bundle = join(root, 'launches', stay.launchId, 'bundle');
  const runtime = await prepareRuntime(scratch, bundle);
  const state = join(
    '/run/provisioner',
    readdirSync('/run/provisioner').find((key) => existsSync(`/run/provisioner/${key}/crun/${stay.launchId}`)) ?? '',
    'crun',
  );
  const processFile = join(scratch, 'process.json');
  const config = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'));
  writeFileSync(processFile, JSON.stringify({ ...config.process, args: ['/bin/now'] }));
  const crunHere = ['crun', '--root', state, '--cgroup-manager', 'cgroupfs'];

  /** Milliseconds of each: until the first instruction, until the end. */
  const outside = (/** @type {string[]} */ command, times = batch, atOnce = 1) => {
    const text = execFileSync(
      timed,
      [command[0] === 'crun' || command[0] === 'podman' ? HIDDEN : '', String(times), String(atOnce), ...command],
      {
        encoding: 'utf8',
      },
    );
    const lines = text
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number));
    const failed = lines.find(([, , status]) => status !== 0);
    if (failed) throw new Error(`${command.join(' ')} ended with ${failed[2]}`);
    return { start: lines.map(([start]) => start / 1e6), total: lines.map(([, total]) => total / 1e6) };
  };
  let count = 0;
  const told = async (/** @type {string} */ id) => {
    for await (const { bytes } of c.logs(id)) return Number(Buffer.from(bytes).toString());
    throw new Error(`${id} has printed nothing`);
  };
  const ours = async (/** @type {string[]} */ command = ['/bin/now']) => {
    const id = `job-${count++}`;
    const begun = now();
    await c.launch(id, 'bench:1', { command });
    const launched = now();
    await c.wait(id);
    const waited = now();
    const at = await told(id);
    const reading = now();
    await c.destroy(id);
    return {
      start: at - begun,
      launched: launched - begun,
      wait: waited - at,
      total: now() - begun - (reading - waited),
    };
  };
  const series = async (/** @type {() => Promise<number>} */ work, times = batch) => {
    const values = [];
    for (let n = 0; n < times; n++) values.push((await work()) / 1e6);
    return values;
  };
  const execOurs = async () => {
    const begun = now();
    const { stdout, ended } = await c.exec('stay', ['/bin/now']);
    let text = '';
    for await (const bytes of stdout) text += bytes;
    await ended;
    return Number(text) - begun;
  };
  const podmanRun = podman && [...podman, 'run', '--rm', '--network', 'none', ...PODMAN_LIMITS, 'bench:1'];

  /** @type {[string, string, () => Promise<Record<string, number[]>>][]} */
  const rows = [
    [
      'launch to first instruction',
      'crun with OCI seccomp 0.45, podman 0.16',
      async () => {
        const mine = await repeated(ours);
        return {
          ours: mine.map(({ start }) => start / 1e6),
          crun: outside([...runtime.plain, 'run', '--bundle', runtime.oci, 'b-@']).start,
          'crun, BPF': outside([...runtime.plain, 'run', '--bundle', runtime.bpf, 'b-@']).start,
          ...(podmanRun && { podman: outside([...podmanRun, '/bin/now'], Math.ceil(batch / 4)).start }),
          'ours, launch() returns': mine.map(({ launched }) => launched / 1e6),
          'ours, wait() after the end': mine.map(({ wait }) => wait / 1e6),
        };
      },
    ],
    [
      'launch, wait, destroy',
      'podman 0.15',
      async () => ({
        ours: (await repeated(ours)).map(({ total }) => total / 1e6),
        crun: outside([...runtime.plain, 'run', '--bundle', runtime.oci, 'b-@']).total,
        ...(podmanRun && { podman: outside([...podmanRun, '/bin/true'], Math.ceil(batch / 4)).total }),
      }),
    ],
    [
      'run --rm IMAGE true, from the shell',
      'podman 0.7',
      async () => ({
        ours: outside([...commandLine, 'run', '--rm', 'bench:1', '/bin/true']).total,
        ...(podmanRun && { podman: outside([...podmanRun, '/bin/true']).total }),
        'node -e 0': outside([process.execPath, '-e', '0']).total,
      }),
    ],
    [
      'exec to first instruction',
      'crun exec 1.15, podman exec 0.13',
      async () => ({
        ours: await series(execOurs),
        'crun exec': outside([...crunHere, 'exec', '--process', processFile, stay.launchId]).start,
        ...(podman && { podman: outside([...podman, 'exec', 'stay', '/bin/now'], Math.ceil(batch / 4)).start }),
      }),
    ],
    [
      'pause and resume',
      '0.5 ms',
      async () => ({
        ours: await series(async () => {
          const begun = now();
          await c.pause('stay');
          await c.resume('stay');
          return now() - begun;
        }),
        'crun, one of them': Array.from({ length: batch }, () =>
          ['pause', 'resume'].flatMap((verb) => outside([...crunHere, verb, stay.launchId], 1).total),
        ).flat(),
      }),
    ],
    [
      '16 at once, each launched, ended, destroyed',
      'crun with BPF 1 / 0.9',
      async () => {
        const times = 4 * 16;
        const begun = now();
        await Promise.all(
          Array.from({ length: 16 }, async () => {
            for (let n = 0; n < times / 16; n++) await ours();
          }),
        );
        const mine = (now() - begun) / 1e6 / times;
        const start = now();
        outside([...runtime.plain, 'run', '--bundle', runtime.bpf, 'b-@'], times, 16);
        return { 'ours, ms each': [mine], 'crun, BPF': [(now() - start) / 1e6 / times] };
      },
    ],
    [
      'event loop blocked, 1 GB of heap',
      '2 ms',
      async () =>
        JSON.parse(
          execFileSync(
            process.execPath,
            [
              '--max-old-space-size=4096',
              fileURLToPath(new URL('./main.mjs', import.meta.url)),
              'run',
              '--inside',
              'heap',
              root,
            ],
            { encoding: 'utf8' },
          ),
        ),
    ],
  ];
  async function repeated(work) {
    const values = [];
    for (let n = 0; n < batch; n++) values.push(await work());
    return values;
  }

  const table = [];
  for (const [title, goal, measure] of rows) {
    if (!only.test(title)) continue;
    /** @type {Record<string, number[]>} */
    const all = {};
    for (let round = 0; round < rounds; round++)
      for (const [who, values] of Object.entries(await measure())) all[who] = [...(all[who] ?? []), ...values];
    const [[, mine]] = Object.entries(all);
    for (const [index, [who, values]] of Object.entries(all).entries())
      table.push([
        index === 0 ? title : '',
        who,
        values.length,
        median(values).toFixed(2),
        quantile(values, 0.99).toFixed(2),
        index === 0 ? '' : (median(mine) / median(values)).toFixed(3),
        index === 0 ? goal : '',
      ]);
  }
  if (only.test('stats')) {
    for (let n = 0; n < containers; n++) await c.launch(`many-${n}`, 'bench:1', { command: ['/bin/stay'] });
    const values = await series(async () => {
      const begun = now();
      await Promise.all(Array.from({ length: containers }, (_, n) => c.stats(`many-${n}`)));
      return now() - begun;
    });
    table.push([
      `stats of ${containers}`,
      'ours',
      values.length,
      median(values).toFixed(2),
      quantile(values, 0.99).toFixed(2),
      '',
      '10 ms',
    ]);
    for (let n = 0; n < containers; n++) await c.destroy(`many-${n}`, { running: 'kill' });
  }
  await c.destroy('stay', { running: 'kill' });
  await c.recover();
  await provisioner.close();
  rmSync(dirname(state), { recursive: true });
  if (only.test('recover')) table.push(await recovery(join(scratch, 'recovery'), image, containers));
  if (podman) execFileSync(podman[0], [...podman.slice(1), 'rm', '-f', '-t', '0', 'stay'], { stdio: 'ignore' });
  if (podman) execFileSync(podman[0], [...podman.slice(1), 'rmi', '-af'], { stdio: 'ignore' });
  printTable(['', 'who', 'n', 'p50, ms', 'p99', 'ours / it', 'goal'], table);
}

/** Another process launches them and is killed; half of them end with it dead. */
async function recovery(root, image, containers) {
  const seed = await Provisioner.open({ root });
  await seed.images.load(image).catch(() => seed.images.pull(`docker-archive:${image}`));
  await seed.close();
  const agent = spawn(
    process.execPath,
    [fileURLToPath(new URL('./main.mjs', import.meta.url)), 'run', '--inside', 'agent', root, String(2 * containers)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await new Promise((resolve) => agent.stdout.once('data', resolve));
  agent.kill('SIGKILL');
  await new Promise((resolve) => agent.once('close', resolve));
  const provisioner = await Provisioner.open({ root });
  const launches = await provisioner.launches.list();
  const half = launches.filter(({ containerId }) => Number(containerId.slice(4)) % 2 === 0);
  for (const { id } of half) process.kill(Number(readFileSync(join(root, 'launches', id, 'pid'), 'utf8')), 'SIGTERM');
  while (!half.every(({ id }) => existsSync(join(root, 'launches', id, 'exit'))))
    await new Promise((resolve) => setTimeout(resolve, 50));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const c = await openContainerizer({ provisioner });
  const begun = now();
  const { running, ended, lost } = await c.recover();
  const took = (now() - begun) / 1e6;
  let right = 0;
  for (const id of ended) if ((await c.wait(id)).code === Number(id.slice(4)) % 200) right++;
  for (const { containerId } of launches) await c.destroy(containerId, { running: 'kill' });
  await c.recover();
  await provisioner.close();
  return [
    `recover of ${running.length} live, ${ended.length} ended, ${lost.length} lost`,
    'ours',
    1,
    took.toFixed(0),
    '',
    '',
    `300 ms; ${right} codes right`,
  ];
}

async function inside(what, [root, count]) {
  const provisioner = await Provisioner.open({ root });
  const c = await openContainerizer({ provisioner });
  if (what === 'agent') {
    for (let n = 0; n < Number(count); n++)
      await c.launch(`job-${n}`, 'bench:1', { command: ['/bin/stay', String(n % 200)] });
    console.log('ready');
    return new Promise(() => setInterval(() => {}, 1000));
  }
  const heap = Array.from({ length: 16_384 }, (_, n) => new Array(8192).fill(n + 0.5));
  await c.launch('warm', 'bench:1', { command: ['/bin/true'], remove: true });
  const ours = [];
  const others = [];
  for (let n = 0; n < 10; n++) {
    ours.push(
      await longestGap(
        async () =>
          void (await c.wait((await c.launch(`heap-${n}`, 'bench:1', { command: ['/bin/true'] })).containerId)),
      ),
    );
    others.push(await longestGap(() => new Promise((resolve) => spawn('true').once('close', resolve))));
    await c.destroy(`heap-${n}`);
  }
  console.log(JSON.stringify({ 'ours, longest of a launch': ours, child_process: others, heap: [heap.length / 16] }));
  return provisioner.close();
}

/** Milliseconds for which nothing else got a turn. */
async function longestGap(work) {
  let longest = 0;
  let last = now();
  let over = false;
  const look = () => {
    const at = now();
    longest = Math.max(longest, at - last);
    last = at;
    if (!over) setImmediate(look);
  };
  setImmediate(look);
  await work();
  over = true;
  return longest / 1e6;
}

/** The bundle of one of our launches, as it is and with a seccomp profile that the runtime has to make a program of, in the same root filesystem. */
async function prepareRuntime(scratch, bundle) {
  const config = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'));
  config.process.args = ['/bin/now'];
  const filter = await prepareSeccomp('default', config.process.capabilities.bounding, scratch);
  for (const kind of ['oci', 'bpf']) {
    const directory = join(scratch, kind);
    mkdirSync(directory);
    const annotations = kind === 'bpf' ? config.annotations : undefined;
    const linux = { ...config.linux, cgroupsPath: undefined, ...(kind === 'oci' && { seccomp: filter?.oci }) };
    writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...config, annotations, linux }));
  }
  return {
    plain: ['crun', '--root', join(scratch, 'crun'), '--cgroup-manager', 'cgroupfs'],
    oci: join(scratch, 'oci'),
    bpf: join(scratch, 'bpf'),
  };
}

/** @returns the command with a store of its own, in which `bench:1` is and the container `stay` runs; undefined when it cannot */
function preparePodman(scratch, image, timed) {
  const command = [
    'podman',
    '--root',
    join(scratch, 'podman'),
    '--runroot',
    join(scratch, 'podman-run'),
    '--storage-driver',
    'overlay',
    '--cgroup-manager',
    'cgroupfs',
  ];
  try {
    execFileSync(command[0], [...command.slice(1), 'load', '-i', image], { stdio: 'ignore' });
    // It too refuses machines with both versions of cgroups.
    const begin = ['run', '-d', '--name', 'stay', '--network', 'none', ...PODMAN_LIMITS, 'bench:1', '/bin/stay'];
    execFileSync(timed, [HIDDEN, '1', '1', ...command, ...begin], { stdio: 'ignore' });
    return command;
  } catch {
    return undefined;
  }
}
