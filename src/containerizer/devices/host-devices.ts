import type { BigIntStats } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, posix } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../../base/errors.js';
import type { DeviceSpec } from '../launch-spec.js';
import type { DeviceNode } from './device-edits.js';

const DEFAULT_ACCESS = 'rwm';

/** The kernel's own, which every container has. */
const EVERYWHERE = /^\/dev\/(?:null|zero|full|random|urandom|tty)$/;
/** What each container has of its own in `/dev`, which nothing replaces. */
const OWN =
  /^\/dev\/(?:null|zero|full|random|urandom|tty|console|ptmx|fd|stdin|stdout|stderr|core|init)$|^\/dev\/(?:pts|shm|mqueue)(?:\/|$)/;

/** Devices of this machine with their numbers, owners and modes. A directory stands for all devices in it. @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_BAD_OPTION` */
export async function hostDevices(specs: readonly DeviceSpec[]): Promise<DeviceNode[]> {
  const nodes = new Map<string, DeviceNode>();
  for (const spec of specs) {
    const { source, target = source, access = DEFAULT_ACCESS } = spec;
    if (!isAbsolute(source) || source.includes('\0')) {
      throw new ProvisionerError('ERR_BAD_OPTION', `the device ${JSON.stringify(source)} is no absolute path`, {
        hint: 'write a path such as /dev/fuse, or the name of a CDI device, such as vendor.com/class=name',
        details: { source },
      });
    }
    if (!/^(?!.*(.).*\1)[rwm]{1,3}$/.test(access)) {
      throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(access)} says nothing of the device ${source}`, {
        hint: 'write some of the letters r, w and m, each once',
        details: { source, access },
      });
    }
    if (EVERYWHERE.test(source) && source === target) continue;
    for (const node of await nodesOf(source, target, access)) nodes.set(node.path, node);
  }
  return [...nodes.values()];
}

async function nodesOf(source: string, target: string, access: string): Promise<DeviceNode[]> {
  const real = await found(source, (path) => realpath(path));
  const status = await found(real, (path) => stat(path, { bigint: true }));
  if (!status.isDirectory()) return [nodeOf(status, source, target, access)];
  const nodes: DeviceNode[] = [];
  const entries = await found(real, (path) => readdir(path, { withFileTypes: true }));
  const linked = new Set(entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name));
  for (const name of entries.map((entry) => entry.name).sort()) {
    const inside = join(real, name);
    // Others may come and go meanwhile.
    const one = await stat(inside, { bigint: true }).catch(() => undefined);
    // A link to a directory may lead round in a circle, as those of /proc do.
    if ((one?.isDirectory() && !linked.has(name)) || one?.isCharacterDevice() || one?.isBlockDevice())
      nodes.push(...(await nodesOf(inside, posix.join(target, name), access)));
  }
  return nodes;
}

function nodeOf(status: BigIntStats, source: string, target: string, access: string): DeviceNode {
  const type = typeOf(status);
  if (type === undefined) throw notFound(source, `${source} is no device`);
  const { major, minor } = numbersOf(status.rdev);
  return {
    path: placeOf(target, source),
    type,
    major,
    minor,
    mode: Number(status.mode) & 0o777,
    uid: Number(status.uid),
    gid: Number(status.gid),
    access,
  };
}

/** What `mknod` can make of it. */
export function typeOf(status: BigIntStats): 'b' | 'c' | 'p' | undefined {
  if (status.isCharacterDevice()) return 'c';
  if (status.isBlockDevice()) return 'b';
  return status.isFIFO() ? 'p' : undefined;
}

/** @see makedev(3) */
export function numbersOf(device: bigint): { readonly major: number; readonly minor: number } {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}

/** Where it is in the container: where only the runtime makes anything, and no image. @throws ProvisionerError `ERR_BAD_OPTION` */
export function placeOf(target: string, source: string): string {
  const path = posix.resolve('/', target);
  if (isAbsolute(target) && path.startsWith('/dev/') && !target.includes('\0') && !OWN.test(path)) return path;
  throw new ProvisionerError(
    'ERR_BAD_OPTION',
    `the device ${source} cannot be ${JSON.stringify(target)} in the container`,
    {
      hint: 'give it a place below /dev that the container does not use itself',
      details: { source, target },
    },
  );
}

async function found<T>(path: string, look: (path: string) => Promise<T>): Promise<T> {
  try {
    return await look(path);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') throw notFound(path, `there is no ${path} on this machine`, error);
    throw fileError(error, 'look at the device', path);
  }
}

function notFound(source: string, message: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_DEVICE_NOT_FOUND', message, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'see what there is in /dev: a module of the kernel may have to be loaded first',
    details: { source },
  });
}
