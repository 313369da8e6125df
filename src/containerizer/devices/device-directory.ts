import type { BigIntStats } from 'node:fs';
import { lstat, opendir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { fileError, ProvisionerError, systemCode, throwIfAborted } from '../../base/errors.js';
import type { DeviceNode } from './device-edits.js';
import { typeOf } from './device-numbers.js';
import { isOfEachContainer } from './own-places.js';

/** Far more than `/dev` of a large machine has; who meant such a directory meant none of devices. */
const MOST_DEVICES = 4096;
const MOST_NAMES = 65_536;
const DEEPEST = 32;
const SHORTAGES = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

export interface FoundDevice {
  readonly type: DeviceNode['type'];
  readonly status: BigIntStats;
  /** In the container. */
  readonly path: string;
}

/**
 * The devices in a directory and all below it, sorted. Symlinks are passed over, as Docker has it: they lead round in circles, and to what was not meant, such as descriptors of whoever looks. So is what each container has of its own in its
 * place. What comes and goes meanwhile is there or not.
 * @param directory absolute @param target where it is in the container, absolute and normalised
 * @throws ProvisionerError `ERR_BAD_OPTION` for one that is too large, `ERR_ABORTED`
 */
export async function devicesIn(
  directory: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<FoundDevice[]> {
  const devices: FoundDevice[] = [];
  const waiting = [{ directory, target, depth: 0 }];
  let names = 0;
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (at.depth > DEEPEST) throw tooLarge(directory, `is more than ${DEEPEST} directories deep`);
    for await (const name of namesIn(at.directory)) {
      throwIfAborted(signal);
      if (++names > MOST_NAMES) throw tooLarge(directory, `has more than ${MOST_NAMES} files`);
      const path = posix.join(at.target, name);
      if (isOfEachContainer(path)) continue;
      const inside = join(at.directory, name);
      const status = await lstat(inside, { bigint: true }).catch(() => undefined);
      if (status?.isDirectory()) waiting.push({ directory: inside, target: path, depth: at.depth + 1 });
      const type = status && typeOf(status);
      // One that is made in the container would be another FIFO than this.
      if (status === undefined || type === undefined || type === 'p') continue;
      devices.push({ type, status, path });
      if (devices.length > MOST_DEVICES) throw tooLarge(directory, `has more than ${MOST_DEVICES} devices`);
    }
  }
  return devices.sort((one, other) => (one.path < other.path ? -1 : 1));
}

async function* namesIn(directory: string): AsyncGenerator<string, void, undefined> {
  try {
    for await (const { name } of await opendir(directory)) yield name;
  } catch (error) {
    // Else it has gone, or is of a file system that shows nothing to anybody else.
    if (SHORTAGES.has(systemCode(error) ?? '')) throw fileError(error, 'look for devices', directory);
  }
}

function tooLarge(directory: string, why: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `${directory} cannot stand for the devices in it: it ${why}`, {
    hint: 'name the devices, or a directory nearer to them',
    details: { source: directory },
  });
}
