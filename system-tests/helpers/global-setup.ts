import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { Provisioner } from '#src/index.js';
import type { MissingRequirements, Requirement } from './requirements.js';

/** Finds out what this machine has of what tests may need, before the first of them. */
export default async function setup(project: TestProject): Promise<void> {
  const missing: MissingRequirements = {};
  if (process.getuid?.() !== 0) missing.root = 'you are not root';
  const overlay = await whyNoOverlay();
  if (overlay !== undefined) missing.overlay = `overlay does not work in ${tmpdir()}: ${overlay}`;
  for (const command of [
    'umoci',
    'skopeo',
    'podman',
    'mount',
    'chroot',
    'getfattr',
    'setfattr',
    'openssl',
    'docker-registry',
    'script',
    'strace',
    'faketime',
  ] as const)
    note(missing, command, [command]);
  note(missing, 'loop', ['mkfs.ext4', 'fsfreeze', 'unshare', 'mount', 'cp']);
  note(missing, 'network', ['ip', 'unshare', 'mount']);
  if (missing.network === undefined && !mayUnshare('--net')) missing.network = 'no network namespace can be made';
  const loop = missing.loop === undefined ? whyNoLoop() : undefined;
  if (loop !== undefined) missing.loop = `a file cannot be mounted: ${loop}`;
  if (!mayMakeUserNamespace()) missing['user namespaces'] = 'an ordinary user may not make user namespaces';
  note(missing, 'real images', ['mmdebstrap', 'umoci', 'skopeo', 'setfattr', 'zstd', 'mount', 'unshare']);
  if (missing.root !== undefined) missing['real images'] ??= 'only root can make real images';
  else if (!mayUnshare('--mount'))
    missing['real images'] ??= 'real images cannot be made where mounting is not permitted';
  project.provide('missingRequirements', missing);
}

function note(missing: MissingRequirements, requirement: Requirement, commands: readonly string[]): void {
  const absent = commands.filter((command) => !isCommand(command));
  if (absent.length > 0) missing[requirement] = `${absent.join(' and ')} ${absent.length === 1 ? 'is' : 'are'} missing`;
}

function isCommand(name: string): boolean {
  // Some of them live where an ordinary PATH does not lead.
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Tries it: a file system in a file, mounted in a namespace with which the mount and its loop device go. */
function whyNoLoop(): string | undefined {
  const place = mkdtempSync(join(tmpdir(), 'provisioner-loop-'));
  try {
    const script = 'truncate -s 4M file && mkfs.ext4 -q -F file && mkdir place && mount -o loop file place';
    const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
    const tried = spawnSync('unshare', ['--mount', 'sh', '-c', script], { cwd: place, env, encoding: 'utf8' });
    return tried.status === 0 ? undefined : tried.stderr.trim() || `status ${tried.status}`;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function mayMakeUserNamespace(): boolean {
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  return spawnSync('unshare', ['--user', '--map-root-user', 'true'], { stdio: 'ignore', ...nobody }).status === 0;
}

function mayUnshare(namespace: '--mount' | '--net'): boolean {
  return spawnSync('unshare', [namespace, 'true'], { stdio: 'ignore' }).status === 0;
}

/** Asks the product, which tries it with a mount. */
async function whyNoOverlay(): Promise<string | undefined> {
  const root = mkdtempSync(join(tmpdir(), 'provisioner-probe-'));
  try {
    await using provisioner = await Provisioner.open({ root, records: 'memory', allowDegraded: true });
    const overlay = (await provisioner.info()).backends.find(({ name }) => name === 'overlay');
    return overlay?.usable ? undefined : overlay?.reason;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
