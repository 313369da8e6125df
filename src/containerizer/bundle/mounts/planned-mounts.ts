import { posix } from 'node:path';
import { ProvisionerError } from '../../../base/errors.js';
import type { MountSpec } from '../../launch-spec.js';
import type { RuntimeSpecMount } from '../runtime-spec.js';
import type { SourceKind } from './mount-sources.js';

/** A mount whose target has not been looked for in the root filesystem yet. */
export interface PlannedMount {
  readonly mount: RuntimeSpecMount;
  /**
   * - `standard`: what each container has, such as `/proc`
   * - `own`: files of ours
   * - `scratch`: memory to write to in a root filesystem that is read-only
   * - `image`: a volume that the image declares
   * - `user`: asked for by the caller; takes the place of ours
   */
  readonly origin: 'standard' | 'own' | 'scratch' | 'image' | 'user';
  readonly kind: SourceKind;
  readonly isReadOnly: boolean;
  /** Who asks for it, for messages; undefined for the caller. */
  readonly askedBy?: string | undefined;
}

/** A volume that nobody but the image asks for. */
export interface ImageVolume extends MountSpec {
  readonly isOfImage: true;
}

/** Absolute paths of files on the host; what is undefined is as the image has it. */
export interface OwnFiles {
  readonly hosts?: string | undefined;
  readonly hostname?: string | undefined;
  readonly resolvConf?: string | undefined;
  /** They are this machine's own and no copies: the container reads them. */
  readonly areShared?: boolean;
  /** The program that is process 1, where the caller asks for one. */
  readonly init?: string | undefined;
}

export interface MountWishes {
  /** Their sources without symlinks, and what these are. */
  readonly mounts: readonly (MountSpec & { readonly kind: SourceKind })[];
  readonly isReadOnly: boolean;
  readonly files: OwnFiles;
  /** @see KernelFacts */
  readonly recursiveAttributes: boolean;
}

/** Where the program is that is process 1 when the caller asks for one: in a directory of ours, which no image can have anything in. */
export const INIT_PATH = '/dev/init';

/** Where files of ours are that a program looks for. */
export const OWN_PLACES = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'] as const;
const [HOSTS, HOSTNAME, RESOLV_CONF] = OWN_PLACES;

const STANDARD: readonly RuntimeSpecMount[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=65536k'],
  },
  // With the host's network too. Others bind the host's in that case, where they run as ordinary users: what is mounted below it would stay writable.
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    // Of the terminals that the machine has, three thousand mostly, no container takes all.
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5', 'max=256'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: ['rprivate', 'nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
  },
];

const SCRATCH: readonly MountSpec[] = [
  { type: 'tmpfs', target: '/run', mode: 0o755 },
  { type: 'tmpfs', target: '/tmp' },
  { type: 'tmpfs', target: '/var/tmp' },
];

/**
 * All that a container has mounted, the caller's last; pure.
 * @throws ProvisionerError `ERR_BAD_OPTION` for a mount that says what does not go together
 */
export function plannedMounts({ mounts, isReadOnly, files, recursiveAttributes }: MountWishes): PlannedMount[] {
  const standard = STANDARD.map(
    (mount): PlannedMount => ({
      mount,
      origin: 'standard',
      kind: 'directory',
      isReadOnly: mount.options.includes('ro'),
    }),
  );
  const own = (destination: string, source: string | undefined, options: readonly string[]): PlannedMount[] => {
    if (source === undefined) return [];
    const all = ['bind', 'rprivate', 'nosuid', 'nodev', ...options];
    const mount = { destination, type: 'bind', source, options: all };
    return [{ mount, origin: 'own', kind: 'file', isReadOnly: options.includes('ro') }];
  };
  const data = ['noexec', ...(isReadOnly || files.areShared === true ? ['ro'] : [])];
  return [
    ...standard,
    ...own(HOSTS, files.hosts, data),
    ...own(HOSTNAME, files.hostname, data),
    ...own(RESOLV_CONF, files.resolvConf, data),
    ...own(INIT_PATH, files.init, ['ro']),
    ...(isReadOnly ? SCRATCH : []).map(
      (spec): PlannedMount => ({
        mount: mountOf({ ...spec, kind: 'directory' }, recursiveAttributes),
        origin: 'scratch',
        kind: 'directory',
        isReadOnly: false,
      }),
    ),
    ...mounts.map(
      (spec): PlannedMount => ({
        mount: mountOf(spec, recursiveAttributes),
        origin: 'isOfImage' in spec ? 'image' : 'user',
        kind: spec.kind,
        isReadOnly: spec.readOnly === true,
      }),
    ),
  ];
}

function mountOf(spec: MountSpec & { readonly kind: SourceKind }, recursiveAttributes: boolean): RuntimeSpecMount {
  const { target } = spec;
  if (!target.startsWith('/') || target.includes('\0')) throw refused(spec, 'its target must be an absolute path');
  if (spec.type === 'volume') throw refused(spec, 'its directory has not been looked for');
  const destination = posix.resolve('/', target);
  return spec.type === 'bind' ? bindOf(spec, destination, recursiveAttributes) : tmpfsOf(spec, destination);
}

function bindOf(spec: MountSpec & { readonly kind: SourceKind }, destination: string, recursiveAttributes: boolean) {
  const { source, sizeBytes, mode, readOnly = false, exec = true } = spec;
  if (source === undefined) throw refused(spec, 'a bind needs a source');
  if (sizeBytes !== undefined || mode !== undefined) throw refused(spec, 'size and mode are for a tmpfs');
  // A file has nothing below it, and crun takes these for directories alone.
  const isRecursive = recursiveAttributes && spec.kind === 'directory';
  const options = [
    spec.kind === 'directory' ? 'rbind' : 'bind',
    'rprivate',
    // As podman has it: neither is needed for data, and devices have a word of their own.
    'nosuid',
    'nodev',
    ...(exec ? [] : ['noexec']),
    ...(readOnly ? ['ro'] : []),
    // What is mounted below the source comes along, and would be writable else.
    ...(isRecursive && !exec ? ['rnoexec'] : []),
    ...(isRecursive && readOnly ? ['rro'] : []),
  ];
  return { destination, type: 'bind', source, options };
}

function tmpfsOf(spec: MountSpec, destination: string): RuntimeSpecMount {
  const { source, sizeBytes, mode = 0o1777, readOnly = false, exec = false } = spec;
  if (source !== undefined) throw refused(spec, 'a tmpfs has no source');
  if (sizeBytes !== undefined && !(Number.isSafeInteger(sizeBytes) && sizeBytes > 0))
    throw refused(spec, 'its size must be a whole number of bytes from 1 on');
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777) throw refused(spec, 'its mode must be from 0 to 0o7777');
  const options = [
    'rprivate',
    'nosuid',
    'nodev',
    ...(exec ? [] : ['noexec']),
    ...(readOnly ? ['ro'] : []),
    `mode=${mode.toString(8)}`,
    ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`]),
  ];
  return { destination, type: 'tmpfs', source: 'tmpfs', options };
}

function refused({ type, target }: MountSpec, why: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `the ${type} mount at ${JSON.stringify(target)} cannot be: ${why}`, {
    details: { type, target },
  });
}
