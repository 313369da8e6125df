import { access, constants, lstat, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { ProvisionerError } from '../../../base/errors.js';
import type { PlannedMount } from '../../bundle/mounts/planned-mounts.js';
import {
  type DeviceEdits,
  type DeviceHook,
  type DeviceNode,
  isHookName,
  LATE_HOOKS,
  NO_DEVICES,
} from '../device-edits.js';
import { numbersOf, typeOf } from '../device-numbers.js';
import { placeOf } from '../device-places.js';
import { type CdiDevice, findCdiDevices } from './cdi-directories.js';
import { type CdiEdits, isBind } from './cdi-file.js';

type CdiNode = NonNullable<CdiEdits['deviceNodes']>[number];
type CdiMount = NonNullable<CdiEdits['mounts']>[number];
type CdiHook = NonNullable<CdiEdits['hooks']>[number];

/** Whose edits are looked at. */
interface Device {
  readonly name: string;
  readonly file: string;
}

/**
 * What devices that CDI files describe take of a container: those of each device, and once what their file says for all of them.
 * @param names as `vendor.com/class=name`
 * @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_DEVICE_UNSUPPORTED`, `ERR_CDI_FILE`, `ERR_BAD_OPTION`
 * @see CDI SPEC.md 1.1.0, "OCI Edits"
 */
export async function cdiEdits(names: readonly string[], directories?: readonly string[]): Promise<DeviceEdits> {
  const unique = [...new Set(names)];
  const found = await findCdiDevices(unique, directories);
  const seen = new Set<string>();
  let whole = NO_DEVICES;
  for (const [index, { file, edits, common }] of found.entries()) {
    const device = { name: unique[index] as string, file };
    if (common !== undefined && !seen.has(file)) whole = added(whole, await editsOf(common, device));
    seen.add(file);
    whole = added(whole, await editsOf(edits, device));
  }
  return whole;
}

/** The nodes of one device alone, without what its file says for all. @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_BAD_OPTION` */
export async function cdiNodes({ edits, file }: CdiDevice, name: string): Promise<DeviceNode[]> {
  return Promise.all((edits.deviceNodes ?? []).map((node) => nodeOf(node, { name, file })));
}

/** Of two at one place the later one counts. */
function added(one: DeviceEdits, other: DeviceEdits): DeviceEdits {
  return {
    nodes: lastOfEach([...one.nodes, ...other.nodes], ({ path }) => path),
    env: { ...one.env, ...other.env },
    mounts: lastOfEach([...one.mounts, ...other.mounts], ({ mount }) => mount.destination),
    hooks: [...one.hooks, ...other.hooks],
    additionalGids: [...new Set([...one.additionalGids, ...other.additionalGids])],
  };
}

function lastOfEach<T>(all: readonly T[], placeOfOne: (one: T) => string): T[] {
  const last = new Map(all.map((one) => [placeOfOne(one), one]));
  return all.filter((one) => last.get(placeOfOne(one)) === one);
}

async function editsOf(edits: CdiEdits, device: Device): Promise<DeviceEdits> {
  // Left out they would be missing, and nobody would be told.
  if ((edits.netDevices ?? []).length > 0) throw unsupported(device, 'moves network interfaces into the container');
  if (edits.intelRdt) throw unsupported(device, 'shares out caches and memory bandwidth (intelRdt)');
  return added(NO_DEVICES, {
    nodes: await Promise.all((edits.deviceNodes ?? []).map((node) => nodeOf(node, device))),
    env: Object.fromEntries((edits.env ?? []).map((text) => splitVariable(text))),
    mounts: await Promise.all((edits.mounts ?? []).map((mount) => mountOf(mount, device))),
    hooks: await Promise.all((edits.hooks ?? []).map((hook) => hookOf(hook, device))),
    additionalGids: (edits.additionalGids ?? []).filter((gid) => gid !== 0),
  });
}

function splitVariable(text: string): [string, string] {
  const end = text.indexOf('=');
  return [text.slice(0, end), text.slice(end + 1)];
}

/** What the file does not say of a device is as it is on this machine. A number of 0 says as much as none. */
async function nodeOf(node: CdiNode, device: Device): Promise<DeviceNode> {
  const { path, permissions, uid, gid, fileMode, major, minor } = node;
  const source = node.hostPath || path;
  const type = node.type === 'u' ? 'c' : node.type || undefined;
  // A symlink may be anybody's, and lead to what the maker of the file did not mean.
  const status = await lstat(source, { bigint: true }).catch(() => undefined);
  const found = status && typeOf(status);
  const rest = {
    path: placeOf(path, source),
    mode: (fileMode ?? (status === undefined || found === undefined ? 0o666 : Number(status.mode))) & 0o777,
    uid: uid ?? undefined,
    gid: gid ?? undefined,
    access: permissions === 'none' ? '' : permissions || 'rwm',
  };
  // Then the device need not be there yet.
  if (type === 'p') return { ...rest, type, major: 0, minor: 0 };
  if (type !== undefined && major) return { ...rest, type, major, minor: minor ?? 0 };
  if (status === undefined) throw missing(device, `there is no ${source} on this machine`);
  if (found === undefined)
    throw missing(device, `${source} is ${status.isSymbolicLink() ? 'a symlink, and ' : ''}no device`);
  if (type !== undefined && type !== found)
    throw missing(device, `${source} is ${KINDS[found]} on this machine, and no ${KINDS[type].slice(2)}`);
  const numbers = numbersOf(status.rdev);
  return { ...rest, type: found, ...(major ? { major, minor: minor ?? 0 } : numbers) };
}

const KINDS = { b: 'a block device', c: 'a character device', p: 'a FIFO' } as const;

async function mountOf(mount: CdiMount, device: Device): Promise<PlannedMount> {
  const { hostPath, containerPath, options, type } = mount;
  const all = options ?? [];
  const binds = isBind(mount);
  const status = binds ? await stat(hostPath).catch(() => undefined) : undefined;
  if (binds && status === undefined) throw missing(device, `there is no ${hostPath} on this machine`);
  const isDirectory = status?.isDirectory() ?? true;
  const isNamed = all.some((option) => /^r?bind$/.test(option));
  return {
    mount: {
      destination: posix.resolve(containerPath),
      type: binds ? 'bind' : (type as string),
      source: hostPath,
      options: binds && !isNamed ? [isDirectory ? 'rbind' : 'bind', ...all] : all,
    },
    origin: 'user',
    kind: isDirectory ? 'directory' : 'file',
    isReadOnly: all.includes('ro'),
    askedBy: `the device ${device.name}, in ${device.file}`,
  };
}

async function hookOf({ hookName, path, args, env, timeout }: CdiHook, device: Device): Promise<DeviceHook> {
  if (!isHookName(hookName)) throw unsupported(device, `has a ${hookName} hook, which ${LATE_HOOKS[hookName]}`);
  // Runtimes tell badly what is wrong with it.
  const status = await stat(path).catch(() => undefined);
  const isProgram = status?.isFile() && (await access(path, constants.X_OK).then(ok, () => false));
  if (!isProgram) {
    const why = status === undefined ? 'is not on this machine' : 'cannot be executed';
    throw missing(device, `its ${hookName} hook ${path} ${why}`);
  }
  return { name: hookName, path, ...(args && { args }), ...(env && { env }), ...(timeout && { timeout }) };
}

const ok = () => true;

function missing({ name, file }: Device, why: string): ProvisionerError {
  return new ProvisionerError('ERR_DEVICE_NOT_FOUND', `the device ${name} cannot be had: ${why}`, {
    hint: `have its CDI file ${file} made again: it describes what is not there any more`,
    details: { name, file },
  });
}

function unsupported({ name, file }: Device, what: string): ProvisionerError {
  return new ProvisionerError('ERR_DEVICE_UNSUPPORTED', `the device ${name} cannot be had here: its CDI file ${what}`, {
    hint: `leave the device out, or have ${file} made without it`,
    details: { name, file },
  });
}
