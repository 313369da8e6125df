// Pulls an image from a registry on loopback, in turn: ours, containerd, podman, and our own unpack from the layout that the registry was filled from.
// Goals for a large image of gzip layers on two cores: at most 0.22 × containerd 1.7, at most 1.25 × our own unpack, at most 250 MB.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeLayout } from './layouts.mjs';
import { describeMachine, hasCommand, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';
import { freePort, reachable, withContainerd } from './servers.mjs';

const PULL = fileURLToPath(new URL('./pull-once.mjs', import.meta.url));

/** `--within COMMAND` runs containerd by that command, such as a script that enters another root file system; SCRATCH in its environment names the directory it must see. */
export async function run(options) {
  const { image, runs, shape, only, within } = parseOptions(options, {
    image: '',
    runs: '5',
    shape: '',
    only: '',
    within: '',
  });
  if (!hasCommand('docker-registry') || !hasCommand('skopeo')) {
    console.error('this needs docker-registry and skopeo');
    process.exit(1);
  }
  const scratch = scratchDirectory('pull');
  const layout = image === '' ? await makeLayout(scratch, shape || 'many-files') : resolve(image.replace(/^oci:/, ''));
  const registry = await startRegistry(join(scratch, 'registry'));
  try {
    const reference = `localhost:${registry.port}/bench:1`;
    const tls = ['--insecure-policy', '--dest-tls-verify=false', '--preserve-digests'];
    execFileSync('skopeo', ['copy', '--quiet', ...tls, `oci:${layout}`, `docker://${reference}`], { stdio: 'inherit' });
    const contenders = contendersFor(reference, layout, within).filter(
      ({ name }) => only === '' || name.startsWith('ours') || name.includes(only),
    );
    console.log(`${describeMachine()}\n${layout} by ${reference}, ${runs} runs\n`);
    const results = new Map(contenders.map(({ name }) => [name, []]));
    for (let round = 0; round < Number(runs); round++) {
      for (const { name, pull } of contenders) results.get(name).push(await timed(scratch, pull));
    }
    report(results);
  } finally {
    registry.stop();
  }
}

/** Each takes a fresh directory; it returns seconds, and its peak memory in MB where that is known. */
function contendersFor(reference, layout, within) {
  const prefix = within.split(' ').filter(Boolean);
  const all = [
    { name: 'ours', needs: [], pull: (target) => ours(`docker://${reference}`, target) },
    { name: 'ours from the layout', needs: [], pull: (target) => ours(`oci:${layout}`, target) },
    {
      name: `containerd ${version(prefix, 'containerd')}`,
      needs: prefix.length > 0 ? [] : ['containerd', 'ctr'],
      pull: (target) => containerd(prefix, reference, target),
    },
    {
      name: `podman ${version([], 'podman')}`,
      needs: ['podman'],
      pull: (target) => podman(reference, target),
    },
  ];
  const missing = all.filter(({ needs }) => !needs.every(hasCommand));
  if (missing.length > 0) console.log(`not installed: ${missing.map(({ name }) => name.trim()).join(', ')}`);
  return all.filter((contender) => !missing.includes(contender));
}

function version(prefix, command) {
  const [program, ...args] = [...prefix, command, '--version'];
  const { stdout } = spawnSync(program, args, { encoding: 'utf8' });
  return /\d+\.\d+\.\d+/.exec(stdout ?? '')?.[0] ?? '';
}

function ours(source, target) {
  const started = performance.now();
  const output = execFileSync(process.execPath, [PULL, source, join(target, 'store')], { encoding: 'utf8' });
  return { seconds: since(started), memory: Number(output) };
}

/** A containerd of its own for each pull, started before the clock is. */
async function containerd(prefix, reference, target) {
  return withContainerd(prefix, target, (ctr) => {
    const started = performance.now();
    ctr('images', 'pull', '--plain-http', reference);
    return since(started);
  });
}

function podman(reference, target) {
  // podman takes no runroot of more than 50 characters.
  const runroot = mkdtempSync('/run/bench-');
  const root = join(target, 'root');
  const started = performance.now();
  execFileSync(
    'podman',
    [
      ...['--root', root, '--runroot', runroot, '--storage-driver', 'overlay'],
      ...['pull', '-q', '--tls-verify=false', `docker://${reference}`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const seconds = since(started);
  spawnSync('umount', [join(root, 'overlay')], { stdio: 'ignore' });
  rmSync(runroot, { recursive: true, force: true });
  return { seconds };
}

async function timed(scratch, pull) {
  const target = mkdtempSync(join(scratch, 't-'));
  try {
    const before = childrenCpu();
    const result = await pull(target);
    return { ...result, cpu: childrenCpu() - before };
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

/** Seconds of CPU that processes have used which this one has started and seen the end of, and theirs. @see proc(5), stat */
function childrenCpu() {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

async function startRegistry(directory) {
  mkdirSync(directory);
  const port = await freePort();
  const settings = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: `127.0.0.1:${port}` },
  };
  // YAML takes JSON.
  writeFileSync(join(directory, 'registry.yml'), JSON.stringify(settings));
  const child = spawn('docker-registry', ['serve', join(directory, 'registry.yml')], { stdio: 'ignore' });
  process.on('exit', () => child.kill('SIGKILL'));
  await reachable({ port, host: '127.0.0.1' }, child);
  return { port, stop: () => child.kill('SIGKILL') };
}

function since(started) {
  return (performance.now() - started) / 1000;
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
  console.log('\ngoals: 0.22 of containerd 1.7, 1.25 of ours from the layout, 250 MB');
  console.log(
    'CPU is that of the contender with its daemon, without the registry; the memory of containerd is that of its daemon',
  );
}
