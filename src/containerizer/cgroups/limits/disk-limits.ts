import { existsSync, type Stats, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../../../base/errors.js';
import { numbersOf } from '../../devices/device-numbers.js';
import type { IoLimit } from '../../launch-spec.js';

export const RATES = ['readBps', 'writeBps', 'readIops', 'writeIops'] as const;
type Rate = (typeof RATES)[number];
/** Operations are counted with 32 bits. @see Linux, block/blk-throttle.c */
const MOST: Readonly<Record<Rate, number>> = {
  readBps: Number.MAX_SAFE_INTEGER,
  writeBps: Number.MAX_SAFE_INTEGER,
  readIops: 2 ** 32 - 1,
  writeIops: 2 ** 32 - 1,
};

/** Limits of one disk, by its numbers. */
export interface DiskLimit extends Readonly<Partial<Record<Rate, number>>> {
  readonly major: number;
  readonly minor: number;
}

/**
 * Looks up the disks that limits name, as they are now. Of what is said of one twice, by whatever path, the last counts.
 * @param update 0 is taken, for no limit any more
 * @throws ProvisionerError `ERR_LIMIT_INVALID`, `ERR_NO_BLOCK_DEVICE`, `ERR_DEVICE_NOT_FOUND`
 */
export function findDisks(io: readonly IoLimit[], update = false): DiskLimit[] {
  const disks = new Map<string, DiskLimit>();
  for (const limit of io) {
    const rates = ratesOf(limit, update);
    const { major, minor } = diskAt(limit.device);
    const key = `${major}:${minor}`;
    disks.set(key, { ...disks.get(key), major, minor, ...rates });
  }
  return [...disks.values()];
}

function ratesOf(limit: IoLimit, update: boolean): Partial<Record<Rate, number>> {
  const given = RATES.flatMap((name) => {
    const rate = limit[name];
    return rate === undefined ? [] : [[name, rate] as const];
  });
  for (const [name, rate] of given) {
    if (!Number.isSafeInteger(rate) || rate < (update ? 0 : 1) || rate > MOST[name])
      throw invalid(limit.device, `${name} is a whole number from ${update ? '0 (no limit)' : 1} to ${MOST[name]}`);
  }
  if (given.length === 0) throw invalid(limit.device, `one of ${RATES.join(', ')} has to be given`);
  return Object.fromEntries(given);
}

function diskAt(path: string): { readonly major: number; readonly minor: number } {
  if (!isAbsolute(path) || path.includes('\0')) throw invalid(path, 'a device is named by an absolute path');
  let status: Stats;
  let device: bigint;
  try {
    status = statSync(path);
    device = statSync(path, { bigint: true }).rdev;
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw fileError(error, 'look at the device', path);
    throw new ProvisionerError('ERR_DEVICE_NOT_FOUND', `there is no ${path} on this machine`, {
      cause: error,
      hint: 'see what there is in /dev, or `lsblk`',
      details: { source: path },
    });
  }
  if (!status.isBlockDevice()) {
    throw new ProvisionerError(
      'ERR_NO_BLOCK_DEVICE',
      `${path} is no block device, so how fast it is cannot be limited`,
      {
        hint: 'name the disk itself, such as /dev/sda: `lsblk` shows them',
        details: { device: path },
      },
    );
  }
  const numbers = numbersOf(device);
  if (existsSync(`/sys/dev/block/${numbers.major}:${numbers.minor}/partition`))
    throw invalid(path, 'it is a partition, and the kernel limits whole disks alone');
  return numbers;
}

function invalid(device: string, allowed: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_LIMIT_INVALID',
    `the limit of ${JSON.stringify(device)} cannot be that: ${allowed}`,
    {
      details: { limit: 'io', value: device },
    },
  );
}

/** Limits as they are when some have been changed: what is 0 has none any more. */
export function changedIo(before: readonly IoLimit[], changes: readonly IoLimit[]): IoLimit[] {
  const devices = new Set([...before, ...changes].map(({ device }) => device));
  return [...devices].flatMap((device): IoLimit[] => {
    const merged: IoLimit = Object.assign({}, ...[...before, ...changes].filter((one) => one.device === device));
    const rates = RATES.flatMap((name) => (merged[name] ? [[name, merged[name]]] : []));
    return rates.length === 0 ? [] : [{ device, ...Object.fromEntries(rates) }];
  });
}
