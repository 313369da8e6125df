import type { RuntimeConfig } from '../../image/image-config.js';
import type { DiskLimit } from '../cgroups/limits/disk-limits.js';
import { type DeviceEdits, type DeviceHook, type DeviceNode, NO_DEVICES } from '../devices/device-edits.js';
import type { LaunchSpec } from '../launch-spec.js';
import type { JoinedNetwork } from '../networks/network.js';
import { HOOK_LOG_ANNOTATION } from '../runtime/hook-complaint.js';
import { SECCOMP_ANNOTATION } from '../seccomp/prepare-seccomp.js';
import { capabilitySets } from './capabilities.js';
import { hostNameOf } from './host-name.js';
import type { KernelFacts } from './kernel-facts.js';
import { resourcesOf } from './limits/resources.js';
import { rlimitsOf } from './limits/ulimits.js';
import { INIT_PATH } from './mounts/planned-mounts.js';
import { environmentOf, programOf, terminalOf, workingDirectoryOf } from './program.js';
import type { ContainerUser } from './rootfs/resolve-user.js';
import type { RuntimeSpecConfig, RuntimeSpecDevice, RuntimeSpecHook, RuntimeSpecMount } from './runtime-spec.js';

/** What filters a program's system calls, in the words of the runtime-spec, and for crun, which takes that first, as a program. */
export interface Seccomp {
  readonly oci: object;
  /** The same, ready for the kernel, in Base64; undefined where it could not be made beforehand. */
  readonly annotation?: string | undefined;
}

export interface BundleInput {
  readonly launchId: string;
  readonly containerId: string;
  /** Absolute. */
  readonly rootfs: string;
  /** It is mounted read-only, whatever the launch says. Default: false. */
  readonly isRootfsReadOnly?: boolean;
  readonly image: RuntimeConfig;
  readonly spec: LaunchSpec;
  readonly user: ContainerUser;
  /** As `resolveTargets` gives them. */
  readonly mounts: readonly RuntimeSpecMount[];
  /** `/parent/launchId`, below what the runtime takes for the root of the cgroups. Undefined: where the runtime puts it. */
  readonly cgroupsPath: string | undefined;
  /** Undefined: system calls are not filtered. */
  readonly seccomp?: Seccomp | undefined;
  readonly facts: KernelFacts;
  /** What the devices that it asks for take. Default: nothing. */
  readonly devices?: DeviceEdits;
  /** The disks that have limits. Default: none. */
  readonly disks?: readonly DiskLimit[];
  /** Where crun is to keep what hooks of devices say of errors; absolute. */
  readonly hookLog?: string | undefined;
  /** Whether the machine counts swap, so that a container can be kept from it. */
  readonly countsSwap: boolean;
  /** A network namespace that is there already. Default: as the spec says. */
  readonly network?: JoinedNetwork | undefined;
}

const UMASK = 0o022;
const DEVICE_GROUPS = 'provisioner.device-groups';
const NAMESPACES = ['pid', 'mount', 'ipc', 'uts', 'cgroup'] as const;

/** What podman hides, and what tells how much power is used, and so what others compute (CVE-2020-8694). */
const MASKED_PATHS =
  '/proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/fs/selinux /sys/dev/block /sys/devices/virtual/powercap'.split(
    ' ',
  );
const READ_ONLY_PATHS = '/proc/asound /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger'.split(' ');

/** @throws ProvisionerError `ERR_NO_COMMAND` @see catatonit(1), `-P`: it runs nothing, and takes away what has ended */
function argumentsOf(image: RuntimeConfig, spec: LaunchSpec): string[] {
  if (spec.init === 'idle') return [INIT_PATH, '-P'];
  const program = programOf(image, spec);
  return spec.init === true ? [INIT_PATH, '--', ...program] : program;
}

/**
 * The `config.json` of a launch: pure, the same input gives the same. What is not asked for is taken from the image, or is what keeps the container to itself.
 * @throws ProvisionerError `ERR_NO_COMMAND`, `ERR_WORKING_DIR`, `ERR_BAD_OPTION`, and for limits of processes `ERR_LIMIT_INVALID`, `ERR_LIMIT_UNSUPPORTED`
 * @see OCI runtime-spec, config.md; OCI image-spec, conversion.md
 */
export function bundleConfig(input: BundleInput): RuntimeSpecConfig {
  const { image, spec, user, facts, seccomp, devices = NO_DEVICES } = input;
  const hostname = hostNameOf(spec.hostname, input.containerId, input.launchId);
  const rlimits = rlimitsOf(spec.ulimits ?? {}, facts.hardLimits);
  return {
    ociVersion: '1.0.2',
    process: {
      ...terminalOf(spec.terminal),
      user: {
        uid: user.uid,
        gid: user.gid,
        additionalGids: [...new Set([...user.additionalGids, ...devices.additionalGids])],
        umask: UMASK,
      },
      args: argumentsOf(image, spec),
      env: environmentOf(image, { ...spec, env: { ...spec.env, ...devices.env } }, { hostname, home: user.home }),
      cwd: workingDirectoryOf(image, spec),
      capabilities: capabilitySets({
        add: spec.addCapabilities ?? [],
        drop: spec.dropCapabilities ?? [],
        isRoot: user.uid === 0,
        available: facts.capabilities,
      }),
      noNewPrivileges: spec.noNewPrivileges ?? true,
      ...(rlimits.length > 0 && { rlimits }),
    },
    root: { path: input.rootfs, readonly: spec.readOnly === true || input.isRootfsReadOnly === true },
    hostname,
    mounts: input.mounts,
    linux: {
      ...(input.cgroupsPath !== undefined && { cgroupsPath: input.cgroupsPath }),
      namespaces: [...NAMESPACES.map((type) => ({ type })), ...networkNamespace(spec, input.network)],
      resources: resourcesOf(spec.limits ?? {}, input.countsSwap, devices.nodes, input.disks),
      ...(devices.nodes.length > 0 && { devices: devices.nodes.map((node) => deviceOf(node, user)) }),
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READ_ONLY_PATHS,
      ...(seccomp && { seccomp: seccomp.oci }),
    },
    ...(devices.hooks.length > 0 && { hooks: hooksOf(devices.hooks) }),
    ...annotated({
      [SECCOMP_ANNOTATION]: seccomp?.annotation,
      [HOOK_LOG_ANNOTATION]: devices.hooks.length > 0 ? input.hookLog : undefined,
      [DEVICE_GROUPS]: devices.additionalGids.length > 0 ? devices.additionalGids.join(',') : undefined,
    }),
  };
}

function networkNamespace({ network }: LaunchSpec, joined: JoinedNetwork | undefined) {
  if (joined !== undefined) return [{ type: 'network', path: joined.path }];
  return network === 'host' ? [] : [{ type: 'network' }];
}

/** The groups that the devices of a container bring, which whoever runs in it is in, whatever his own ones are. */
export function deviceGroups({ annotations }: Pick<RuntimeSpecConfig, 'annotations'>): number[] {
  return (annotations?.[DEVICE_GROUPS] ?? '').split(',').filter(Boolean).map(Number);
}

/** Those that there are. */
function annotated(annotations: Readonly<Record<string, string | undefined>>): Pick<RuntimeSpecConfig, 'annotations'> {
  const given = Object.entries(annotations).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]]));
  return given.length === 0 ? {} : { annotations: Object.fromEntries(given) };
}

function deviceOf({ path, type, major, minor, mode, uid, gid }: DeviceNode, user: ContainerUser): RuntimeSpecDevice {
  const numbers = type === 'p' ? {} : { major, minor };
  return { path, type, ...numbers, fileMode: mode, uid: uid ?? user.uid, gid: gid ?? user.gid };
}

/** In the order in which they were asked for. */
function hooksOf(hooks: readonly DeviceHook[]): Readonly<Record<string, readonly RuntimeSpecHook[]>> {
  const byName: Record<string, RuntimeSpecHook[]> = {};
  for (const { name, ...hook } of hooks) byName[name] = [...(byName[name] ?? []), hook];
  return byName;
}
