// Unpacks all layers of an OCI layout, in turn: ours, the floor (igzip and tar in parallel, nothing checked), and the peers that are installed.
// Goals for a large image of gzip layers on two cores: at most 1.6 × the floor, at most 250 MB.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { layersOf, makeLayout } from './layouts.mjs';
import { describeMachine, hasCommand, parseOptions, printTable, quantile, scratchDirectory } from './measure.mjs';
import { withContainerd } from './servers.mjs';

const PULL = fileURLToPath(new URL('./pull-once.mjs', import.meta.url));

export async function run(options) {
  const { layout, runs, shape, only } = parseOptions(options, { layout: '', runs: '5', shape: '', only: '' });
  const scratch = scratchDirectory('unpack');
  const source = layout === '' ? await makeLayout(scratch, shape || 'many-files') : resolve(layout);
  const blobs = layersOf(source);
  const contenders = contendersFor(source, blobs).filter(
    ({ name }) => only === '' || name === 'floor' || name.includes(only),
  );
  const results = new Map(contenders.map(({ name }) => [name, []]));
  console.log(`${describeMachine()}\n${source}: ${blobs.length} layers, ${megabytes(blobs)} MB stored\n`);
  for (let run = 0; run < Number(runs); run++) {
    for (const { name, unpack } of contenders) {
      const target = join(scratch, 'target');
      rmSync(target, { recursive: true, force: true });
      mkdirSync(target);
      results.get(name).push(await timed(() => unpack(target)));
      rmSync(target, { recursive: true, force: true });
    }
  }
  report(results);
}

/** Each takes a fresh directory; see `timed` for what it returns. */
function contendersFor(source, blobs) {
  const all = [
    { name: 'provisioner', needs: [], unpack: (target) => ours(source, target) },
    { name: 'floor', needs: ['igzip', 'tar'], unpack: (target) => tarInParallel(blobs, target) },
    { name: 'pigz | tar', needs: ['pigz', 'tar'], unpack: (target) => tarOneByOne(blobs, target) },
    { name: 'umoci', needs: ['umoci'], unpack: (target) => umoci(source, target) },
    { name: 'podman', needs: ['podman'], unpack: (target) => podman(source, target) },
    { name: 'containerd', needs: ['containerd', 'ctr'], unpack: (target) => containerd(source, target) },
  ];
  const missing = all.filter(({ needs }) => !needs.every(hasCommand));
  if (missing.length > 0) console.log(`not installed: ${missing.map(({ name }) => name).join(', ')}`);
  return all.filter((contender) => !missing.includes(contender));
}

function ours(source, target) {
  const output = execFileSync(process.execPath, [PULL, `oci:${source}`, join(target, 'store')], { encoding: 'utf8' });
  return Number(output);
}

function tarInParallel(blobs, target) {
  const script = blobs
    .map(({ path }, index) => `mkdir ${index}; ${inflate('igzip', path)} | tar -x -C ${index} --xattrs -p & `)
    .join('\n');
  shell(`${script}\nwait`, target);
}

function tarOneByOne(blobs, target) {
  shell(
    blobs
      .map(({ path }, index) => `mkdir ${index}; ${inflate('pigz', path)} | tar -x -C ${index} --xattrs -p`)
      .join('\n'),
    target,
  );
}

function inflate(tool, path) {
  const magic = readFileSync(path).subarray(0, 4).toString('hex');
  if (magic.startsWith('1f8b')) return `${tool} -dc < '${path}'`;
  return magic === '28b52ffd' ? `zstd -dc '${path}'` : `cat '${path}'`;
}

function umoci(source, target) {
  execFileSync('umoci', ['unpack', '--image', withTag(source), join(target, 'bundle')], { stdio: 'ignore' });
}

function podman(source, target) {
  // podman takes no runroot of more than 50 characters.
  const runroot = mkdtempSync('/run/bench-');
  const roots = ['--root', join(target, 'root'), '--runroot', runroot, '--storage-driver', 'overlay'];
  execFileSync('podman', [...roots, 'pull', '-q', `oci:${withTag(source)}`], { stdio: 'ignore' });
  spawnSync('umount', [join(target, 'root', 'overlay')], { stdio: 'ignore' });
  rmSync(runroot, { recursive: true, force: true });
}

/** It imports archives only; the archive is made, and the daemon started, before the clock is. */
async function containerd(source, target) {
  const archive = join(target, 'image.tar');
  execFileSync('tar', ['-C', source, '-cf', archive, '.']);
  return withContainerd([], target, (ctr) => {
    const started = performance.now();
    ctr('images', 'import', '--base-name', 'localhost/bench', '--digests', archive);
    return (performance.now() - started) / 1000;
  });
}

function withTag(source) {
  const [entry] = readIndex(source).manifests;
  return `${source}:${entry.annotations['org.opencontainers.image.ref.name']}`;
}

function shell(script, cwd) {
  execFileSync('bash', ['-c', script], { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** @param work returns its peak memory, or that with the seconds, when it has something to do before the clock is started */
async function timed(work) {
  const started = performance.now();
  const outcome = await work();
  return typeof outcome === 'object' ? outcome : { seconds: (performance.now() - started) / 1000, memory: outcome };
}

function report(results) {
  const floor = median(results.get('floor'));
  const mine = median(results.get('provisioner'));
  const rows = [...results].map(([name, values]) => {
    const seconds = values.map((value) => value.seconds);
    const spread = `${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)}`;
    const memory = Math.max(...values.map((value) => value.memory ?? 0));
    const own = median(values);
    return [
      name,
      own.toFixed(2),
      spread,
      (own / floor).toFixed(2),
      (mine / own).toFixed(2),
      memory ? memory.toFixed(0) : '-',
    ];
  });
  printTable(['', 'median s', 'spread', '× floor', 'ours / this', 'peak MB'], rows);
}

function median(values) {
  return values === undefined
    ? Number.NaN
    : quantile(
        values.map((value) => value.seconds),
        0.5,
      );
}

function readIndex(source) {
  return JSON.parse(readFileSync(join(source, 'index.json'), 'utf8'));
}

function megabytes(blobs) {
  return (blobs.reduce((sum, { size }) => sum + size, 0) / 1e6).toFixed(0);
}
