import { lstat, stat } from 'node:fs/promises';
import { ProvisionerError } from '../../../base/errors.js';
import type { PlannedMount } from '../../bundle/mounts/planned-mounts.js';
import { type DeviceEdits, type DeviceHook, type DeviceNode, NO_DEVICES } from '../device-edits.js';
import { numbersOf, placeOf, typeOf } from '../host-devices.js';
import { type CdiDevice, findCdiDevices } from './cdi-directories.js';
import type { CdiEdits } from './cdi-file.js';

type CdiNode = NonNullable<CdiEdits['deviceNodes']>[number];
type CdiMount = NonNullable<CdiEdits['mounts']>[number];

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
    const name = unique[index] as string;
    if (common !== undefined && !seen.has(file)) whole = added(whole, await editsOf(common, name));
    seen.add(file);
    whole = added(whole, await editsOf(edits, name));
  }
  return whole;
}

/** The nodes of one device alone, without what its file says for all. @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_BAD_OPTION` */
export async function cdiNodes({ edits }: CdiDevice, name: string): Promise<DeviceNode[]> {
  return Promise.all((edits.deviceNodes ?? []).map((node) => nodeOf(node, name)));
}

/** Of two at one place the later one counts. */
function added(one: DeviceEdits, other: DeviceEdits): DeviceEdits {
  const placed = new Set(other.nodes.map(({ path }) => path));
  const mounted = new Set(other.mounts.map(({ mount }) => mount.destination));
  return {
    nodes: [...one.nodes.filter(({ path }) => !placed.has(path)), ...other.nodes],
    env: { ...one.env, ...other.env },
    mounts: [...one.mounts.filter(({ mount }) => !mounted.has(mount.destination)), ...other.mounts],
    hooks: [...one.hooks, ...other.hooks],
    additionalGids: [...new Set([...one.additionalGids, ...other.additionalGids])],
  };
}

async function editsOf(edits: CdiEdits, name: string): Promise<DeviceEdits> {
  // Left out they would be missing, and nobody would be told.
  if ((edits.netDevices ?? []).length > 0) throw unsupported(name, 'moves network interfaces into the container');
  if (edits.intelRdt) throw unsupported(name, 'shares out caches and memory bandwidth (intelRdt)');
  return {
    nodes: await Promise.all((edits.deviceNodes ?? []).map((node) => nodeOf(node, name))),
    env: Object.fromEntries((edits.env ?? []).map((text) => splitVariable(text))),
    mounts: await Promise.all((edits.mounts ?? []).map((mount) => mountOf(mount, name))),
    hooks: (edits.hooks ?? []).map(
      ({ hookName, path, args, env, timeout }): DeviceHook => ({
        name: hookName,
        path,
        ...(args && { args }),
        ...(env && { env }),
        ...(timeout && { timeout }),
      }),
    ),
    additionalGids: (edits.additionalGids ?? []).filter((gid) => gid !== 0),
  };
}

function splitVariable(text: string): [string, string] {
  const end = text.indexOf('=');
  return [text.slice(0, end), text.slice(end + 1)];
}

/** What the file does not say of a device is as it is on this machine. */
async function nodeOf(node: CdiNode, name: string): Promise<DeviceNode> {
  const { path, permissions, uid, gid, fileMode } = node;
  const source = node.hostPath || path;
  const type = node.type === 'u' ? 'c' : node.type || undefined;
  // Then the device need not be there yet.
  const isWhole = type !== undefined && (type === 'p' || (node.major !== undefined && node.major !== null));
  const status = await lstat(source, { bigint: true }).catch(() => undefined);
  const found = status && typeOf(status);
  if (!isWhole && (status === undefined || found === undefined)) {
    const why = status === undefined ? `there is no ${source} on this machine` : `${source} is no device`;
    throw missing(name, why);
  }
  const numbers = status === undefined ? { major: 0, minor: 0 } : numbersOf(status.rdev);
  const kind = type ?? found;
  if (kind === undefined) throw missing(name, `${source} is no device`);
  const access = permissions === 'none' ? '' : permissions || 'rwm';
  return {
    path: placeOf(path, source),
    type: kind,
    major: node.major ?? numbers.major,
    minor: node.minor ?? numbers.minor,
    mode: (fileMode ?? (status === undefined ? 0o666 : Number(status.mode))) & 0o777,
    uid: uid ?? undefined,
    gid: gid ?? undefined,
    access,
  };
}

async function mountOf({ hostPath, containerPath, options, type }: CdiMount, name: string): Promise<PlannedMount> {
  const all = options ?? [];
  const isBind =
    type === undefined ||
    type === null ||
    type === '' ||
    type === 'none' ||
    type === 'bind' ||
    all.some((option) => /^r?bind$/.test(option));
  const status = isBind ? await stat(hostPath).catch(() => undefined) : undefined;
  if (isBind && status === undefined) throw missing(name, `there is no ${hostPath} on this machine`);
  const isDirectory = status?.isDirectory() ?? true;
  const isNamed = all.some((option) => /^r?bind$/.test(option));
  return {
    mount: {
      destination: containerPath,
      type: isBind ? 'bind' : (type as string),
      source: hostPath,
      options: isBind && !isNamed ? [isDirectory ? 'rbind' : 'bind', ...all] : all,
    },
    origin: 'user',
    kind: isDirectory ? 'directory' : 'file',
    isReadOnly: all.includes('ro'),
  };
}

function missing(name: string, why: string): ProvisionerError {
  return new ProvisionerError('ERR_DEVICE_NOT_FOUND', `the device ${name} cannot be had: ${why}`, {
    hint: 'have its CDI file made again: it describes what is not there any more',
    details: { name },
  });
}

function unsupported(name: string, what: string): ProvisionerError {
  return new ProvisionerError('ERR_DEVICE_UNSUPPORTED', `the device ${name} cannot be had here: its CDI file ${what}`, {
    hint: 'leave the device out',
    details: { name },
  });
}
