import { accessSync, constants, existsSync } from 'node:fs';
import { posix } from 'node:path';
import { type BytePath, fromBytePath, nodePath, toBytePath } from '../../system/syscalls/byte-path.js';
import { decodeOctal } from '../../system/syscalls/mounts/mount-table.js';
import { readCgroupFile } from './cgroup-files.js';

/**
 * Which cgroup hierarchies this machine has, and where a container's cgroup lies in them.
 *
 *   mode     /sys/fs/cgroup           controllers
 *   v1       cpu/ memory/ pids/ …     each in a hierarchy of its own, or some together (`cpu,cpuacct`)
 *   v2       one hierarchy            in that, as far as a cgroup hands them down to its children
 *   hybrid   as v1, and unified/      in those of version 1; crun makes nothing in `unified/`, runc only puts the processes there
 *   none     nothing                  none
 *
 * The path of a container's cgroup (`linux.cgroupsPath`) begins with a slash, and crun and runc both put that below the directory where a hierarchy is mounted,
 * whatever cgroup they themselves are in. So it is the same path in each hierarchy, and the place does not depend on who starts the container:
 *
 *   - on the machine itself, `/x` lies in the root of the hierarchy, also when this process is in another cgroup (a unit of systemd, a memory limit);
 *   - in a container, where the mounts show the container's own cgroup as their root, whether by a cgroup namespace (`/` in the third field of the mount table) or
 *     by a bind mount (`/docker/…` there), `/x` lies in the container's cgroup, and is under its limits;
 *   - where this process may not write the root (an ordinary user to whom systemd has delegated a cgroup), version 2 only: `base` is the outermost cgroup around
 *     this process that it may write, and the paths of containers begin with it.
 *
 * @see cgroups(7); Linux, Documentation/admin-guide/cgroup-v2.rst; crun, src/libcrun/cgroup-cgroupfs.c; runc, libcontainer/cgroups/fs/paths.go
 */
export interface Hierarchies {
  readonly mode: 'v1' | 'v2' | 'hybrid' | 'none';
  /** What paths of cgroups of ours begin with: `/`, or a cgroup that was delegated to this process. */
  readonly base: BytePath;
  /** Each hierarchy once. */
  readonly mounted: readonly Hierarchy[];
  readonly controllers: Readonly<Record<Controller, ControllerState>>;
}

/** What limits, counts or freezes. `io` is called `blkio` in version 1; version 2 counts processor time and freezes without a controller. */
export type Controller = 'memory' | 'cpu' | 'cpuacct' | 'cpuset' | 'pids' | 'io' | 'freezer';

export interface Hierarchy {
  readonly version: 1 | 2;
  /** Where it is mounted. */
  readonly directory: BytePath;
  /** Those that are bound to it, whether or not a container can have them. */
  readonly controllers: readonly Controller[];
  /** It has a name in place of controllers (`name=systemd`): a service manager of a machine with version 1 tells its services apart by it. */
  readonly isNamed: boolean;
}

/** `reason` is a clause that says why a container can have no limit of this kind. */
export type ControllerState =
  | { readonly usable: true; readonly hierarchy: Hierarchy }
  | { readonly usable: false; readonly hierarchy: Hierarchy | undefined; readonly reason: string };

export interface HierarchySources {
  /** The text of `/proc/self/mountinfo`, bytes as characters. */
  readonly mountinfo: BytePath;
  /** The text of `/proc/self/cgroup`, bytes as characters. */
  readonly selfCgroup: BytePath;
  /** Stands for `/`. Default: empty, so `/` itself. */
  readonly root?: string | undefined;
  /** Whether this process may make cgroups in a directory. Default: what access(2) says. */
  readonly mayWrite?: ((directory: BytePath) => boolean) | undefined;
}

const CONTROLLERS: readonly Controller[] = ['memory', 'cpu', 'cpuacct', 'cpuset', 'pids', 'io', 'freezer'];

/** Where runtimes look, and nowhere else: what is mounted elsewhere is for others. */
const CGROUPS = '/sys/fs/cgroup';

interface CgroupMount {
  readonly device: string;
  readonly version: 1 | 2;
  readonly point: BytePath;
  readonly readOnly: boolean;
  readonly controllers: readonly Controller[];
  readonly isNamed: boolean;
}

/** @returns mode `none` where there is no /proc @throws ProvisionerError `ERR_CGROUP` */
export function hierarchiesOfThisProcess(): Hierarchies {
  const read = (file: string) => readCgroupFile(file) ?? '';
  return readHierarchies({ mountinfo: read('/proc/self/mountinfo'), selfCgroup: read('/proc/self/cgroup') });
}

/** Looks at the directories too: whether they can be written, and what version 2 hands down. Nothing is changed. @throws ProvisionerError `ERR_CGROUP` */
export function readHierarchies({
  mountinfo,
  selfCgroup,
  root = '',
  mayWrite = isWritable,
}: HierarchySources): Hierarchies {
  // Version 1 first: on a hybrid machine it is what runtimes use, whichever was mounted first.
  const mounts = eachOnce(visibleMounts(mountinfo).flatMap(asCgroupMount)).sort((a, b) => a.version - b.version);
  const mode = modeOf(mounts);
  const rootBytes = toBytePath(root);
  const hierarchies = mounts.map(({ version, point, controllers, isNamed }) => ({
    isNamed,
    version,
    directory: `${rootBytes}${point}`,
    controllers: version === 1 ? controllers : boundToVersion2(`${rootBytes}${point}`),
  }));
  const base = mode === 'v2' ? outermostWritable(hierarchies[0]?.directory ?? '', ownPath(selfCgroup), mayWrite) : '/';
  const states = CONTROLLERS.map((controller): [Controller, ControllerState] => {
    const index = hierarchies.findIndex((each) => each.controllers.includes(controller));
    const [hierarchy, mount] = [hierarchies[index], mounts[index]];
    if (hierarchy === undefined || mount === undefined) {
      const reason =
        mode === 'none' ? `nothing is mounted at ${CGROUPS}` : 'the kernel has it not, or it is switched off';
      return [controller, { usable: false, hierarchy: undefined, reason }];
    }
    const reason = whyUnusable(hierarchy, mount, mode, placeIn(hierarchy.directory, base), controller, mayWrite);
    return [controller, reason === undefined ? { usable: true, hierarchy } : { usable: false, hierarchy, reason }];
  });
  return {
    mode,
    base,
    mounted: hierarchies,
    controllers: Object.fromEntries(states) as Record<Controller, ControllerState>,
  };
}

/**
 * The cgroup that all containers of a store have theirs in, as `linux.cgroupsPath` begins.
 * @param store 12 hex digits that name the store
 */
export function parentOf({ base }: Hierarchies, store: string): BytePath {
  return posix.join(base, `provisioner-${store}`);
}

/** Where a cgroup lies in a hierarchy, whether or not it is there. @param cgroupsPath absolute, as `linux.cgroupsPath` has it */
export function directoryOf({ directory }: Hierarchy, cgroupsPath: BytePath): BytePath {
  return `${directory}${cgroupsPath}`;
}

interface MountLine {
  /** Of the hierarchy, wherever it is mounted: major and minor number. */
  readonly device: string;
  readonly point: BytePath;
  readonly readOnly: boolean;
  readonly type: string;
  readonly superOptions: readonly string[];
}

/** A later mount hides what lies at its place and below. @see proc(5), /proc/pid/mountinfo */
function visibleMounts(mountinfo: BytePath): MountLine[] {
  const mounts: MountLine[] = [];
  for (const line of mountinfo.split('\n')) {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    const [point, options] = [decodeOctal(fields[4] ?? ''), fields[5] ?? ''];
    if (separator < 0 || !(`${point}/`.startsWith(`${CGROUPS}/`) || `${CGROUPS}/`.startsWith(`${point}/`))) continue;
    for (let index = mounts.length - 1; index >= 0; index--) {
      if (`${mounts[index]?.point}/`.startsWith(`${point}/`)) mounts.splice(index, 1);
    }
    mounts.push({
      device: fields[2] ?? '',
      point,
      readOnly: options.split(',').includes('ro'),
      type: fields[separator + 1] ?? '',
      superOptions: (fields[separator + 3] ?? '').split(','),
    });
  }
  return mounts;
}

function asCgroupMount({ device, point, readOnly, type, superOptions }: MountLine): CgroupMount[] {
  if (type === 'cgroup2') return [{ device, version: 2, point, readOnly, controllers: [], isNamed: false }];
  if (type !== 'cgroup' || point === CGROUPS) return [];
  const names = superOptions.map((option) => (option === 'blkio' ? 'io' : option));
  const controllers = CONTROLLERS.filter((each) => names.includes(each));
  return [
    { device, version: 1, point, readOnly, controllers, isNamed: names.some((each) => each.startsWith('name=')) },
  ];
}

/** `cpu` and `cpu,cpuacct` may be mounts of one hierarchy, where others make one a symlink to the other. */
function eachOnce(mounts: readonly CgroupMount[]): CgroupMount[] {
  return mounts.filter(({ device }, index) => mounts.findIndex((each) => each.device === device) === index);
}

function modeOf(mounts: readonly CgroupMount[]): Hierarchies['mode'] {
  if (mounts.some(({ version, point }) => version === 2 && point === CGROUPS)) return 'v2';
  const [one, two] = [mounts.some(({ version }) => version === 1), mounts.some(({ version }) => version === 2)];
  if (one) return two ? 'hybrid' : 'v1';
  return 'none';
}

function boundToVersion2(directory: BytePath): Controller[] {
  const names = wordsOf(`${directory}/cgroup.controllers`);
  return CONTROLLERS.filter((each) => each === 'cpuacct' || each === 'freezer' || names.includes(each));
}

/** In the hierarchy of version 2, as seen by this process. Dots lead out of what its mount shows: then it is not known. @see cgroup_namespaces(7) */
function ownPath(selfCgroup: BytePath): BytePath {
  const [, path = '/'] = /^0::(\/.*)$/m.exec(selfCgroup) ?? [];
  return path.split('/').includes('..') ? '/' : path.replace(/ \(deleted\)$/, '');
}

function placeIn(directory: BytePath, path: BytePath): BytePath {
  return path === '/' ? directory : `${directory}${path}`;
}

function outermostWritable(directory: BytePath, own: BytePath, mayWrite: (directory: BytePath) => boolean): BytePath {
  const parts = own.split('/').filter((part) => part !== '');
  const around = ['/', ...parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)];
  return around.find((path) => mayWrite(placeIn(directory, path))) ?? '/';
}

function whyUnusable(
  hierarchy: Hierarchy,
  { readOnly }: CgroupMount,
  mode: Hierarchies['mode'],
  place: BytePath,
  controller: Controller,
  mayWrite: (directory: BytePath) => boolean,
): string | undefined {
  const shown = fromBytePath(hierarchy.directory);
  if (mode === 'hybrid' && hierarchy.version === 2)
    return `it is bound to ${shown}, where runtimes set no limits as long as others are of version 1`;
  if (readOnly) return `${shown} is mounted read-only`;
  if (!mayWrite(place)) return `this process may not make cgroups in ${fromBytePath(place)}`;
  if (hierarchy.version === 1 || controller === 'cpuacct' || controller === 'freezer') return undefined;
  return whyNotHandedDown(place, controller);
}

/**
 * Version 2 gives children only what their parent hands down (`cgroup.subtree_control`), and lets only those hand down that have no processes of their own, but for
 * the root of the machine, which alone has no `cgroup.type`. @see cgroup-v2.rst, "No Internal Process Constraint"
 */
function whyNotHandedDown(place: BytePath, controller: Controller): string | undefined {
  const shown = fromBytePath(place);
  if (wordsOf(`${place}/cgroup.subtree_control`).includes(controller)) return undefined;
  if (!wordsOf(`${place}/cgroup.controllers`).includes(controller)) return `it is not handed down to ${shown}`;
  if (!existsSync(nodePath(`${place}/cgroup.type`))) return undefined;
  return wordsOf(`${place}/cgroup.procs`).length === 0
    ? undefined
    : `${shown} has processes of its own and hands nothing down as long as they are not in a cgroup below it`;
}

function wordsOf(file: BytePath): string[] {
  return (readCgroupFile(file) ?? '').split(/\s+/).filter((word) => word !== '');
}

function isWritable(directory: BytePath): boolean {
  try {
    accessSync(nodePath(directory), constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
