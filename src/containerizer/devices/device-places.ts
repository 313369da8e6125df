import { stat } from 'node:fs/promises';
import { isAbsolute, posix } from 'node:path';
import { ProvisionerError } from '../../base/errors.js';
import type { PlannedMount } from '../bundle/mounts/planned-mounts.js';
import { isAtOrBelow } from '../bundle/rootfs/rootfs-view.js';
import type { DeviceNode } from './device-edits.js';
import { numbersOf, typeOf } from './device-numbers.js';
import { isOfEachContainer } from './own-places.js';

/** Bytes. @see NAME_MAX and PATH_MAX in limits.h; the NUL at the end counts */
const NAME_MAX = 255;
const PATH_MAX = 4095;

/**
 * Where a device is in the container: where only the runtime makes anything, and no image.
 * @returns the same without `..`, doubled slashes and one at the end
 * @throws ProvisionerError `ERR_BAD_OPTION`
 */
export function placeOf(target: string, source: string): string {
  const path = posix.resolve('/', target);
  const why = isAbsolute(target) ? faultOf(path) : 'it is no absolute path';
  if (why === undefined) return path;
  throw new ProvisionerError(
    'ERR_BAD_OPTION',
    `the device ${source} cannot be ${JSON.stringify(target)} in the container: ${why}`,
    { hint: 'give it a place below /dev that the container does not use itself', details: { source, target } },
  );
}

function faultOf(path: string): string | undefined {
  if (!path.startsWith('/dev/')) return 'that is not below /dev';
  if (path.includes('\0')) return 'there is a NUL in it';
  if (/\p{Cs}/u.test(path)) return 'it is no Unicode';
  if (isOfEachContainer(path)) return 'each container has its own there';
  const isTooLong =
    Buffer.byteLength(path) > PATH_MAX || path.split('/').some((name) => Buffer.byteLength(name) > NAME_MAX);
  return isTooLong ? 'the name is too long' : undefined;
}

/**
 * Nothing may lie between `/dev` and a device, nor over it: the runtime would make the node in what is mounted there, and so on this machine, or leave what is there in its place; or nobody would see it. And
 * a device is no directory for another one. What the runtime has on its way is what `/dev` of the container has then, which no image can have anything in: so paths as they are written tell it all.
 * @returns the mounts without binds of the very devices that are asked for at the same place: those are there as devices
 * @throws ProvisionerError `ERR_BAD_OPTION`, naming both
 */
export async function besideDevices(
  planned: readonly PlannedMount[],
  nodes: readonly DeviceNode[],
): Promise<readonly PlannedMount[]> {
  if (nodes.length === 0) return planned;
  const paths = new Set(nodes.map(({ path }) => path));
  for (const { path } of nodes) {
    for (let above = posix.dirname(path); above !== '/'; above = posix.dirname(above)) {
      if (paths.has(above)) throw inTheWay(path, above, 'is a device itself, and so has nothing below it');
    }
  }
  const others: PlannedMount[] = [];
  for (const plan of planned) {
    const target = posix.resolve('/', plan.mount.destination);
    const node = target.startsWith('/dev/')
      ? nodes.find(({ path }) => isAtOrBelow(path, target) || isAtOrBelow(target, path))
      : undefined;
    if (node === undefined) others.push(plan);
    else if (node.path !== target || !(await isBindOf(plan.mount, node)))
      throw inTheWay(node.path, target, `is where ${whatIsMounted(plan.mount)} is to be mounted`);
  }
  return others;
}

/** Some ask for a device in both ways; a bind alone would be of no use, since devices on binds have no effect. */
async function isBindOf({ type, source }: PlannedMount['mount'], node: DeviceNode): Promise<boolean> {
  const status = type === 'bind' ? await stat(source, { bigint: true }).catch(() => undefined) : undefined;
  if (status === undefined || typeOf(status) !== node.type || node.type === 'p') return false;
  const { major, minor } = numbersOf(status.rdev);
  return major === node.major && minor === node.minor;
}

const whatIsMounted = ({ type, source }: PlannedMount['mount']) => (type === 'bind' ? source : `a ${type}`);

function inTheWay(path: string, other: string, why: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `there cannot be a device ${path} in the container: ${other} ${why}`, {
    hint: 'give one of them another place',
    details: { target: path, other },
  });
}
