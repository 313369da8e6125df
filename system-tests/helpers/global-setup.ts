import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { hierarchiesOfThisProcess } from '#src/containerizer/cgroups/hierarchies.js';
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
    'xz',
    'bzip2',
    'skopeo',
    'podman',
    'mount',
    'chroot',
    'getfattr',
    'setfattr',
    'openssl',
    'docker-registry',
    'script',
    'tmux',
    'catatonit',
    'strace',
    'faketime',
    'crun',
    'runc',
    'busybox',
  ] as const)
    note(missing, command, [command]);
  note(missing, 'crun', ['crun', 'unshare', 'umount']);
  note(missing, 'loop', ['mkfs.ext4', 'fsfreeze', 'unshare', 'mount', 'cp']);
  note(missing, 'btrfs', ['mkfs.btrfs', 'btrfs', 'mount']);
  note(missing, 'network', ['ip', 'unshare', 'mount']);
  noteHelper(missing, 'netavark', '/usr/lib/podman/netavark', ['iptables', 'unshare']);
  noteHelper(missing, 'cni', '/usr/lib/cni/bridge', ['iptables', 'unshare', 'ip']);
  if (missing.network === undefined && !mayUnshare('--net')) missing.network = 'no network namespace can be made';
  for (const [kind, size] of [
    ['ext4', '4M'],
    ['xfs', '300M'],
    ['btrfs', '128M'],
  ] as const) {
    const requirement = kind === 'ext4' ? 'loop' : kind;
    if (kind !== 'ext4') note(missing, kind, [`mkfs.${kind}`, 'unshare', 'mount']);
    const reason = missing[requirement] === undefined ? whyNoDisk(kind, size) : undefined;
    if (reason !== undefined) missing[requirement] = `a file of ${kind} cannot be mounted: ${reason}`;
  }
  const quotas = missing.root ?? missing.loop ?? missing.xfs ?? whyNoProjectQuotas();
  if (quotas !== undefined) missing['project quotas'] = quotas;
  note(missing, 'fuse-overlayfs', ['fuse-overlayfs', 'unshare', 'mount']);
  const fuse = missing['fuse-overlayfs'] === undefined ? whyNoFuse() : undefined;
  if (fuse !== undefined) missing['fuse-overlayfs'] = `fuse-overlayfs cannot be mounted: ${fuse}`;
  if (!mayMakeUserNamespace()) missing['user namespaces'] = 'an ordinary user may not make user namespaces';
  note(missing, 'real images', ['mmdebstrap', 'umoci', 'skopeo', 'setfattr', 'zstd', 'mount', 'unshare']);
  if (missing.root !== undefined) missing['real images'] ??= 'only root can make real images';
  else if (!mayUnshare('--mount'))
    missing['real images'] ??= 'real images cannot be made where mounting is not permitted';
  const cgroups = missing.root ?? whyNoCgroups();
  if (cgroups !== undefined) missing.cgroups = cgroups;
  project.provide('missingRequirements', missing);
}

function note(missing: MissingRequirements, requirement: Requirement, commands: readonly string[]): void {
  const absent = commands.filter((command) => !isCommand(command));
  if (absent.length > 0) missing[requirement] = `${absent.join(' and ')} ${absent.length === 1 ? 'is' : 'are'} missing`;
}

/** A program that others start, where no `PATH` leads, and what it starts itself. */
function noteHelper(
  missing: MissingRequirements,
  requirement: Requirement,
  path: string,
  commands: readonly string[],
): void {
  note(missing, requirement, commands);
  if (!existsSync(path)) missing[requirement] = `${path} is missing`;
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

/** Asks the product. */
function whyNoCgroups(): string | undefined {
  const { controllers } = hierarchiesOfThisProcess();
  const reasons = Object.entries(controllers).map(([name, state]) =>
    state.usable || name === 'io' ? undefined : `there is no controller ${name}: ${state.reason}`,
  );
  return reasons.find((reason) => reason !== undefined);
}

/** Tries it: a file system in a file, mounted in a namespace with which the mount and its loop device go. */
function whyNoDisk(kind: 'ext4' | 'xfs' | 'btrfs', size: string): string | undefined {
  const force = kind === 'ext4' ? '-F' : '-f';
  return whyNotMounted(
    `truncate -s ${size} file && mkfs.${kind} -q ${force} file && mkdir place && mount -o loop file place`,
  );
}

function whyNoProjectQuotas(): string | undefined {
  const make = { xfs: 'mkfs.xfs -q -f', ext4: 'mkfs.ext4 -q -F -O project,quota' };
  for (const [kind, mkfs] of Object.entries(make)) {
    const reason = whyNotMounted(
      `truncate -s 300M file && ${mkfs} file && mkdir place && mount -o loop,prjquota file place`,
    );
    // What `mount` says further is where to look for more.
    if (reason !== undefined) return `this kernel has no project quotas of ${kind}: ${reason.split('\n')[0]}`;
  }
  return undefined;
}

function whyNoFuse(): string | undefined {
  const options = 'lowerdir=lower,upperdir=upper,workdir=work';
  // Its daemon would outlive the namespace in which it is mounted.
  return whyNotMounted(
    `mkdir lower upper work place && fuse-overlayfs -o ${options} place >output 2>&1 && umount place || { cat output >&2; exit 1; }`,
  );
}

function whyNotMounted(script: string): string | undefined {
  const place = mkdtempSync(join(tmpdir(), 'provisioner-mount-'));
  try {
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
    const overlay = (await provisioner.store.info()).backends.find(({ name }) => name === 'overlay');
    return overlay?.usable ? undefined : overlay?.reason;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
