import { chmodSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../../base/errors.js';
import { writeOwnFile } from '../../base/own-files.js';
import { DIRECTORY, type TreeCalls } from '../../system/syscalls/tree-calls.js';
import { findDisks } from '../cgroups/limits/disk-limits.js';
import { besideDevices } from '../devices/device-places.js';
import { findDevices } from '../devices/find-devices.js';
import { type BundleInput, bundleConfig } from './bundle-config.js';
import { configText } from './config-text.js';
import { hostNameOf } from './host-name.js';
import { mountSources } from './mounts/mount-sources.js';
import { type OwnFiles, plannedMounts } from './mounts/planned-mounts.js';
import { makeDirectoryInside, resolveTargets } from './mounts/resolve-targets.js';
import { HOST_RESOLV_CONF, type HostFiles, networkFiles } from './network-files.js';
import { noWorkingDirectory, workingDirectoryOf } from './program.js';
import { rememberResolvConf } from './renewed-resolv-conf.js';
import { resolveUser } from './rootfs/resolve-user.js';
import { isAtOrBelow, type Place, RootfsView } from './rootfs/rootfs-view.js';
import type { RuntimeSpecConfig } from './runtime-spec.js';

export interface PlanOptions extends Omit<BundleInput, 'user' | 'mounts' | 'devices' | 'disks'> {
  /** Absolute path of a static program on this machine that is process 1 where the launch asks for one. */
  readonly initProgram?: string | undefined;
  readonly calls: TreeCalls;
  /** Ends the search for devices. */
  readonly signal?: AbortSignal | undefined;
}

export interface BundleOptions extends PlanOptions {
  /** Absolute, there already, and nobody else's: what a bundle consists of is written into it. */
  readonly directory: string;
}

/** In a bundle's directory: what a container has of its own in `/etc`, and may write to. */
export const OWN_FILE_NAMES = { hosts: 'hosts', hostname: 'hostname', resolvConf: 'resolv.conf' } as const;
/** In a bundle's directory: what hooks of devices said of errors. */
export const HOOK_LOG = 'hooks.log';

/**
 * Makes the bundle of a launch: what `planBundle` does, and writes `config.json`, `hosts`, `hostname` and `resolv.conf`. No process of the container lives yet. What a failure leaves in the
 * directory and the root filesystem is harmless, and a second try uses it.
 * @throws ProvisionerError as `planBundle`; `ERR_NO_SPACE` and other errors of the file system
 */
export async function makeBundle(options: BundleOptions): Promise<RuntimeSpecConfig> {
  const { directory, spec } = options;
  const hostname = hostNameOf(spec.hostname, options.containerId, options.launchId);
  const asksHost = spec.network === 'host' || options.network?.nameServers === 'machine';
  const host = asksHost ? await hostFiles() : { hosts: '', resolvConf: '' };
  const texts = networkFiles(spec, hostname, host, options.network);
  const files = {
    hosts: join(directory, OWN_FILE_NAMES.hosts),
    hostname: join(directory, OWN_FILE_NAMES.hostname),
    resolvConf: join(directory, OWN_FILE_NAMES.resolvConf),
  };
  const config = await planBundle({ ...options, hookLog: join(directory, HOOK_LOG) }, files);
  writeBundle(config, files, texts, directory);
  if (spec.network === 'host') rememberResolvConf(directory, texts.resolvConf);
  return config;
}

/**
 * Looks up what the image and the machine say, and makes in the root filesystem what is missing there (targets of mounts, the working directory: they are the container's own writable layer).
 * @returns what `config.json` is to say
 * @throws ProvisionerError `ERR_USER_UNKNOWN`, `ERR_MOUNT_SOURCE`, `ERR_MOUNT_TARGET` and what `bundleConfig` throws, before anything is made; errors of the file system
 */
export async function planBundle(options: PlanOptions, files: Omit<OwnFiles, 'init'>): Promise<RuntimeSpecConfig> {
  const { spec, image, calls, facts, initProgram } = options;
  const workingDir = workingDirectoryOf(image, spec);
  const isReadOnly = spec.readOnly === true;
  const wantsInit = spec.init === true || spec.init === 'idle';
  if (wantsInit && initProgram === undefined) {
    throw new ProvisionerError('ERR_BAD_OPTION', 'a small init as process 1 is asked for, and this machine has none', {
      hint:
        spec.init === 'idle'
          ? 'install catatonit, or give a command that waits'
          : 'install catatonit or tini, or do without',
    });
  }
  const init = wantsInit ? initProgram : undefined;
  const devices = await findDevices(spec, options.signal);
  const disks = findDisks(spec.limits?.io ?? []);
  const own = plannedMounts({
    mounts: await mountSources(spec.mounts ?? []),
    isReadOnly,
    files: { ...files, init },
    recursiveAttributes: facts.recursiveAttributes,
  });
  const planned = await besideDevices([...own, ...devices.mounts], devices.nodes);

  const rootfs = openRootfs(options);
  try {
    const user = resolveUser(rootfs, spec.user ?? image.user);
    // What is wrong in the launch itself is told before anything is made.
    bundleConfig({ ...options, devices, disks, user, mounts: [] });
    const mounts = resolveTargets(rootfs, planned, calls);
    makeWorkingDirectory(rootfs, workingDir, mounts);
    return bundleConfig({ ...options, devices, disks, user, mounts });
  } finally {
    rootfs.close();
  }
}

function openRootfs({ rootfs, calls }: PlanOptions): RootfsView {
  try {
    return new RootfsView(calls, rootfs);
  } catch (error) {
    throw fileError(error, 'open the root filesystem', rootfs);
  }
}

function makeWorkingDirectory(rootfs: RootfsView, path: string, mounts: RuntimeSpecConfig['mounts']): void {
  let found: Place;
  try {
    found = makeDirectoryInside(rootfs, path, mounts);
  } catch (error) {
    if (!NO_WAY.has(systemCode(error) ?? '')) throw fileError(error, 'make the working directory', path);
    throw noWorkingDirectory(path, 'the image has no way there', error);
  }
  if (isAtOrBelow(found.path, '/proc')) throw noWorkingDirectory(path, 'a symlink of the image leads it into /proc');
  if (found.below === undefined && found.type !== undefined && found.type !== DIRECTORY)
    throw noWorkingDirectory(path, 'the image has a file there');
}

/** The path is wrong, and not the machine. */
const NO_WAY = new Set(['ELOOP', 'ENOTDIR', 'ENAMETOOLONG']);

/** Every user of the container may read the files; to the host's users the directory is closed. */
function writeBundle(
  config: RuntimeSpecConfig,
  files: Readonly<Record<'hosts' | 'hostname' | 'resolvConf', string>>,
  texts: { readonly hosts: string; readonly hostname: string; readonly resolvConf: string },
  directory: string,
): void {
  const path = join(directory, 'config.json');
  try {
    for (const name of ['hosts', 'hostname', 'resolvConf'] as const) {
      writeFileSync(files[name], texts[name], { mode: 0o644 });
      chmodSync(files[name], 0o644);
    }
    // It holds the values of the environment.
    writeOwnFile(path, configText(config));
  } catch (error) {
    throw fileError(error, 'write the bundle', directory);
  }
}

async function hostFiles(): Promise<HostFiles> {
  const [hosts, resolvConf] = await Promise.all([hostFile('/etc/hosts'), hostFile(HOST_RESOLV_CONF)]);
  return { hosts, resolvConf };
}

async function hostFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return '';
    throw fileError(error, 'read', path);
  }
}
