import type { BigIntStats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, posix } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../../base/errors.js';
import type { DeviceSpec } from '../launch-spec.js';
import { devicesIn } from './device-directory.js';
import type { DeviceNode } from './device-edits.js';
import { numbersOf, typeOf } from './device-numbers.js';
import { placeOf } from './device-places.js';
import { isEverywhere } from './own-places.js';

const DEFAULT_ACCESS = 'rwm';
/** What leads to descriptors of whoever looks, which are this process's and not the caller's. */
const DESCRIPTORS = /^\/dev\/(?:fd|stdin|stdout|stderr)(?:\/|$)|^\/proc\/(?:self|thread-self|\d+)(?:\/|$)/;

/**
 * Devices of this machine with their numbers, owners and modes. A directory stands for all devices in it.
 * @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_BAD_OPTION`, `ERR_ABORTED`
 */
export async function hostDevices(
  specs: readonly DeviceSpec[],
  signal?: AbortSignal | undefined,
): Promise<DeviceNode[]> {
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
    if (isEverywhere(source) && source === target) continue;
    for (const node of await nodesOf(source, target, access, signal)) nodes.set(node.path, node);
  }
  return [...nodes.values()];
}

async function nodesOf(
  source: string,
  target: string,
  access: string,
  signal: AbortSignal | undefined,
): Promise<DeviceNode[]> {
  if (DESCRIPTORS.test(posix.resolve(source)))
    throw notFound(source, `${source} is what a process has open, and no device of this machine`);
  const real = await found(source, (path) => realpath(path));
  const status = await found(real, (path) => stat(path, { bigint: true }));
  if (!status.isDirectory()) {
    const type = typeOf(status);
    if (type === undefined) throw notFound(source, `${source} is no device`);
    return [nodeOf(type, status, placeOf(target, source), access)];
  }
  const place = posix.resolve('/', target);
  // Each container has a directory of that name: what is in this one has a place there.
  if (place !== '/dev' || !isAbsolute(target)) placeOf(target, source);
  const inside = await devicesIn(real, place, signal);
  if (inside.length === 0) throw notFound(source, `there is no device in ${source}`);
  return inside.map(({ type, status, path }) => nodeOf(type, status, placeOf(path, source), access));
}

function nodeOf(type: DeviceNode['type'], status: BigIntStats, path: string, access: string): DeviceNode {
  const { major, minor } = numbersOf(status.rdev);
  const mode = Number(status.mode) & 0o777;
  return { path, type, major, minor, mode, uid: Number(status.uid), gid: Number(status.gid), access };
}

async function found<T>(path: string, look: (path: string) => Promise<T>): Promise<T> {
  try {
    return await look(path);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP')
      throw notFound(path, `there is no ${path} on this machine`, error);
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
