import { posix } from 'node:path';
import { fileError, isProvisionerError, ProvisionerError, systemCode } from '../../../base/errors.js';
import { type BytePath, fromBytePath, printablePath, toBytePath } from '../../../system/syscalls/byte-path.js';
import { DIRECTORY, SYMLINK, type TreeCalls } from '../../../system/syscalls/tree-calls.js';
import { isOwnDevice } from '../../devices/own-places.js';
import { coveringMount, isAtOrBelow, type Place, RootfsView } from '../rootfs/rootfs-view.js';
import type { RuntimeSpecMount } from '../runtime-spec.js';
import type { PlannedMount } from './planned-mounts.js';

/**
 * Gives each mount a target that has no symlink in it, so that no link of the image can lead a mount, or what the runtime makes on one, out of the root filesystem: runtimes
 * have made device nodes on the host where `/dev` was a link (CVE-2026-41579). What is missing is made here, in the root filesystem, and not by the runtime.
 *
 * - Links of the image are followed inside the root filesystem, as the program would see them.
 * - `/proc`, `/dev` and `/sys` must be directories, or missing. A link there is refused rather than followed: what the runtime hides, makes read-only and makes as devices it finds by these
 *   very names, and would find elsewhere, or not at all.
 * - Nor is anything mounted over the devices and links in `/dev` that each container has.
 * - No link leads into them either: a file of ours over one of the kernel's could mislead whoever reads it.
 * - A mount of the caller's takes the place of ours at the same target and below it; on a volume of the image our files lie on top. Mounts go from the top down; one that would hide another is refused.
 *
 * @throws ProvisionerError `ERR_MOUNT_TARGET`, `ERR_READ_ONLY` and other errors of the file system
 */
export function resolveTargets(
  rootfs: RootfsView,
  planned: readonly PlannedMount[],
  calls: TreeCalls,
): RuntimeSpecMount[] {
  const placed: PlacedMount[] = [];
  for (const plan of inOrder(rootfs, planned)) {
    const mount = place(rootfs, plan, placed, calls);
    if (mount !== undefined) placed.push(mount);
  }
  return placed.map(({ plan, path }) => ({ ...plan.mount, destination: fromBytePath(path) }));
}

/**
 * Makes a directory that the image or the caller wants, where it would be visible: what a mount covers is left alone, and so is what is there.
 * @param mounts as `resolveTargets` gives them
 * @returns what was there before
 * @throws `ELOOP`, `ENOTDIR`, `ENAMETOOLONG` for a path that leads nowhere; else system errors
 */
export function makeDirectoryInside(rootfs: RootfsView, path: string, mounts: readonly RuntimeSpecMount[]): Place {
  const targets = mounts.map(({ destination }) => toBytePath(destination));
  const found = rootfs.resolve(toBytePath(path), targets);
  if (found.below === undefined && found.type === undefined) rootfs.make(found.path, 'directory');
  return found;
}

/**
 * Whether a directory can be mounted somewhere, as far as that can be told before anything is made: for what is filled with what the image has there.
 * @param target absolute @param mounts where else something of the caller's will be mounted
 * @throws ProvisionerError `ERR_MOUNT_TARGET`
 */
export function requireTarget(rootfs: RootfsView, target: string, mounts: readonly BytePath[]): void {
  const mount = { destination: posix.resolve('/', target), type: 'bind', source: '', options: [] };
  const plan: PlannedMount = { mount, origin: 'user', kind: 'directory', isReadOnly: false };
  const { path, type, below } = resolved(rootfs, plan, mounts);
  checkPlace(plan, { path, type, below });
  if (below === undefined && type !== undefined) checkKind(plan, path, type);
}

interface PlacedMount {
  readonly plan: PlannedMount;
  readonly path: BytePath;
}

/** The kernel's own trees. */
const KERNEL_TREES: readonly BytePath[] = ['/proc', '/sys', '/dev'];

/** What may be mounted over in `/proc`: all that lxcfs has, and nothing that the kernel or a program trusts. */
const IN_PROC = new Set(
  'cpuinfo diskstats loadavg meminfo slabinfo stat swaps uptime'.split(' ').map((name) => `/proc/${name}`),
);

const NO_WAY: Readonly<Record<string, string>> = {
  ELOOP: 'the way there goes round in symlinks',
  ENOTDIR: 'the way there leads through what is no directory',
  ENAMETOOLONG: 'the way there is too long',
};

/** The caller's before ours, where both have the same target. */
const RANKS = { user: 0, image: 0, standard: 1, own: 2, scratch: 3 } as const;

/** From the top down, by where links of the image lead; the trees of the kernel, which runtimes need themselves, first. */
function inOrder(rootfs: RootfsView, planned: readonly PlannedMount[]): PlannedMount[] {
  const weighed = planned.map((plan) => {
    const path = plan.origin === 'standard' ? plan.mount.destination : resolved(rootfs, plan, []).path;
    const isTree = KERNEL_TREES.includes(path);
    return { plan, depth: path === '/' ? 0 : path.split('/').length, rank: isTree ? -1 : RANKS[plan.origin] };
  });
  return weighed.sort((one, other) => one.depth - other.depth || one.rank - other.rank).map(({ plan }) => plan);
}

/** @returns undefined for one of ours that has to give way */
function place(
  rootfs: RootfsView,
  plan: PlannedMount,
  placed: readonly PlacedMount[],
  calls: TreeCalls,
): PlacedMount | undefined {
  const found = resolved(
    rootfs,
    plan,
    placed.map(({ path }) => path),
  );
  const { path } = found;
  checkPlace(plan, found);
  if (placed.some((other) => givesWay(plan, other.plan) && isAtOrBelow(path, other.path))) return undefined;
  const same = placed.find((other) => other.path === path);
  if (same !== undefined) {
    // Images have `/var/tmp` lead to `/tmp`.
    if (plan.origin === 'scratch') return undefined;
    const other = same.plan.askedBy === undefined ? '' : `, for ${same.plan.askedBy}`;
    throw refused(plan, path, `something else is mounted there already${other}`);
  }
  const hidden = placed.find((other) => isAtOrBelow(other.path, path));
  if (hidden !== undefined) throw refused(plan, path, `it would hide what is mounted at ${printablePath(hidden.path)}`);

  const parent = placed.find((other) => other.path === found.below);
  if (found.below === undefined) {
    if (!makeTarget(rootfs, plan, found)) return undefined;
  } else if (parent?.plan.mount.type === 'bind' && (parent.plan.origin === 'user' || parent.plan.origin === 'image')) {
    try {
      makeInSource(parent, plan, path, calls);
    } catch (error) {
      // The program sees what the image has there, as it would without the volume where a link leads nowhere.
      if (plan.origin === 'own' && isProvisionerError(error, 'ERR_MOUNT_TARGET')) return undefined;
      throw error;
    }
  }
  // Below a tmpfs, or a tree of the kernel's, there is nothing of anybody's: the runtime makes what is missing there.
  return { plan, path };
}

/** Ours to the caller's, who wants all of a place; to a volume of the image, which nobody asked for, only the memory that it makes needless. */
function givesWay({ origin }: PlannedMount, other: PlannedMount): boolean {
  if (origin === 'user' || origin === 'image') return false;
  return other.origin === 'user' || (other.origin === 'image' && origin === 'scratch');
}

function resolved(rootfs: RootfsView, plan: PlannedMount, mounts: readonly BytePath[]): Place {
  const written = toBytePath(plan.mount.destination);
  try {
    return rootfs.resolve(written, mounts);
  } catch (error) {
    const reason = NO_WAY[systemCode(error) ?? ''];
    if (reason === undefined) throw fileError(error, 'look for the target of a mount', plan.mount.destination);
    throw refused(plan, written, reason, error);
  }
}

function checkPlace(plan: PlannedMount, { path }: Place): void {
  const written = toBytePath(plan.mount.destination);
  const isLed = path !== written;
  if (plan.origin === 'standard') {
    if (isLed) throw refused(plan, path, 'it must be a directory of the root filesystem itself, and no symlink');
    return;
  }
  if (path === '/') throw refused(plan, path, 'that is the root filesystem itself');
  if (toBytePath(fromBytePath(path)) !== path)
    throw refused(plan, path, 'its name is no UTF-8, which a bundle cannot have');
  const tree = coveringMount(path, KERNEL_TREES);
  if (tree === undefined) return;
  if (isLed) throw refused(plan, path, `a symlink of the image leads it into ${tree}`);
  // What programs throw away, or take for random, would be a file's.
  if (path === tree || isOwnDevice(path)) throw refused(plan, path, 'each container has its own there');
  if (tree === '/proc' && !IN_PROC.has(path))
    throw refused(plan, path, 'what the kernel tells there is not to be covered');
}

/** @returns false for what a container can do without, where a read-only root filesystem has no place for it */
function makeTarget(rootfs: RootfsView, plan: PlannedMount, { path, type }: Place): boolean {
  if (type !== undefined) {
    checkKind(plan, path, type);
    return true;
  }
  try {
    rootfs.make(path, plan.kind);
    return true;
  } catch (error) {
    // The program sees what the image has there, which is nothing.
    if ((plan.origin === 'own' || plan.origin === 'scratch') && systemCode(error) === 'EROFS') return false;
    throw fileError(error, 'make the target of a mount', plan.mount.destination);
  }
}

/** Below a mount of the caller's, the target lies in a directory of the host, in which others may have put links. */
function makeInSource(parent: PlacedMount, plan: PlannedMount, path: BytePath, calls: TreeCalls): void {
  const { source } = parent.plan.mount;
  const rest = path.slice(parent.path.length) || '/';
  let view: RootfsView | undefined;
  try {
    if (parent.plan.kind !== 'directory')
      throw refused(plan, path, `a file is mounted at ${printablePath(parent.path)}`);
    view = new RootfsView(calls, source);
    const { path: found, type } = view.resolve(rest);
    if (found !== rest) throw refused(plan, path, `in ${source} a symlink lies on the way there`);
    if (type !== undefined) {
      checkKind(plan, path, type);
      return;
    }
    if (parent.plan.isReadOnly) {
      throw refused(
        plan,
        path,
        `it is missing in ${source}, which is mounted read-only at ${printablePath(parent.path)}`,
      );
    }
    view.make(rest, plan.kind);
  } catch (error) {
    const reason = NO_WAY[systemCode(error) ?? ''];
    if (reason !== undefined) throw refused(plan, path, `in ${source} ${reason}`, error);
    throw fileError(error, 'make the target of a mount', `${source}${rest}`);
  } finally {
    view?.close();
  }
}

function checkKind(plan: PlannedMount, path: BytePath, type: number): void {
  if (type === SYMLINK || (type === DIRECTORY) === (plan.kind === 'directory')) return;
  throw refused(
    plan,
    path,
    type === DIRECTORY
      ? 'a file is to be mounted, and there is a directory'
      : 'a directory is to be mounted, and there is none',
  );
}

function refused(plan: PlannedMount, path: BytePath, why: string, cause?: unknown): ProvisionerError {
  const target = plan.mount.destination;
  const shown = printablePath(path);
  const where = shown === target ? '' : ` (${shown} in the root filesystem)`;
  const asker = plan.askedBy === undefined ? '' : `, which ${plan.askedBy} asks for`;
  return new ProvisionerError(
    'ERR_MOUNT_TARGET',
    `nothing can be mounted at ${JSON.stringify(target)}${where}${asker}: ${why}`,
    {
      ...(cause === undefined ? {} : { cause }),
      hint:
        plan.origin === 'user'
          ? 'choose another target'
          : 'it is the image that stands in the way; do not use it unless you know why it is like that',
      details: { target, resolved: shown },
    },
  );
}
