// Who pulls in the benchmarks of pulls: each takes a fresh directory, and returns seconds, and its peak memory in MB where that is known.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, reachable, withContainerd } from './servers.mjs';

const PULL = fileURLToPath(new URL('./pull-once.mjs', import.meta.url));

/** @param {string} source @param {string} target @param {object} options of `Provisioner.open` */
export function ours(source, target, options = {}) {
  const started = performance.now();
  const args = [PULL, source, join(target, 'store'), JSON.stringify(options)];
  const output = execFileSync(process.execPath, args, { encoding: 'utf8' });
  return { seconds: since(started), memory: Number(output) };
}

/** A containerd of its own for each pull, started before the clock is. @param {string[]} prefix of its command lines */
export async function containerd(prefix, reference, target) {
  return withContainerd(prefix, target, (ctr) => {
    const started = performance.now();
    ctr('images', 'pull', '--plain-http', reference);
    return since(started);
  });
}

export function podman(reference, target) {
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

/** Runs one of them in a directory of its own, and adds the seconds of processor time that it took. */
export async function timed(scratch, pull) {
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

/** A docker-registry on loopback that keeps what it has below a directory. */
export async function startRegistry(directory) {
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

/** Puts an image of a layout into a registry of this machine. @param {string} reference with the registry's port */
export function push(layout, reference, options = []) {
  const how = ['--insecure-policy', '--dest-tls-verify=false', ...options];
  execFileSync('skopeo', ['copy', '--quiet', ...how, `oci:${layout}`, `docker://${reference}`], { stdio: 'inherit' });
}

/** The same with its layers compressed anew. @param {string} plain a directory for those that are not compressed, which is made and removed */
export function pushAsZstd(layout, reference, plain) {
  const skopeo = (...args) =>
    execFileSync('skopeo', ['copy', '--quiet', '--insecure-policy', ...args], { stdio: 'inherit' });
  skopeo('--dest-decompress', `oci:${layout}`, `dir:${plain}`);
  skopeo(
    '--dest-tls-verify=false',
    '--format',
    'oci',
    '--dest-compress-format',
    'zstd',
    `dir:${plain}`,
    `docker://${reference}`,
  );
  rmSync(plain, { recursive: true, force: true });
}

function since(started) {
  return (performance.now() - started) / 1000;
}
