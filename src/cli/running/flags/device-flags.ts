import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import type { DeviceSpec, LaunchSpec } from '../../../containerizer/index.js';
import { UsageError } from '../../usage-error.js';
import { gpusOf } from './gpu-flag.js';

export interface DeviceFlags {
  readonly device: readonly string[];
  readonly gpus?: string;
}

export interface LeaseFlags {
  readonly leaseCpus?: string;
  readonly leaseDevice: readonly string[];
}

/** Of `--device` and `--gpus`, as Docker and podman have them. @param exists whether there is something at a path of this machine @throws UsageError */
export function devicesOf(
  { device, gpus }: DeviceFlags,
  exists: (path: string) => boolean = existsSync,
): Pick<LaunchSpec, 'devices' | 'cdiDevices'> {
  const isName = (text: string) => text.includes('=') && !text.startsWith('/');
  return {
    devices: device.filter((text) => !isName(text)).map((text) => deviceOf(text, exists)),
    cdiDevices: [...device.filter(isName), ...(gpus === undefined ? [] : gpusOf(gpus))],
  };
}

/** Names of devices may have colons in them: so the source is the longest that is there. */
function deviceOf(text: string, exists: (path: string) => boolean): DeviceSpec {
  const parts = text.split(':');
  for (let length = parts.length; length > 0; length--) {
    const source = parts.slice(0, length).join(':');
    const rest = placeAndAccess(parts.slice(length));
    if (source.startsWith('/') && rest !== undefined && (length === 1 || exists(source))) return { source, ...rest };
  }
  throw new UsageError(
    `--device: ${JSON.stringify(text)} is no device`,
    'write SOURCE[:TARGET][:rwm] with a target below /dev, such as /dev/fuse or /dev/sda:/dev/xvda:r, or the name of a CDI device, such as nvidia.com/gpu=0',
  );
}

/** What stands behind the source; undefined for what has no sense there. */
function placeAndAccess([first, second, ...more]: readonly string[]): Omit<DeviceSpec, 'source'> | undefined {
  if (first === undefined) return {};
  if (more.length > 0) return undefined;
  if (isAccess(first)) return second === undefined ? { access: first } : undefined;
  if (!isPlace(first)) return undefined;
  if (second === undefined) return { target: first };
  return isAccess(second) ? { target: first, access: second } : undefined;
}

/** Each letter once. */
const isAccess = (text: string) => /^(?!.*(.).*\1)[rwm]+$/.test(text);
const isPlace = (text: string) => text.startsWith('/') && /^\/dev(?:\/|$)/.test(posix.resolve(text));

/** Of `--lease-cpus` and `--lease-device`. @throws UsageError */
export function leasesOf({ leaseCpus, leaseDevice }: LeaseFlags): Pick<LaunchSpec, 'leases'> {
  if (leaseCpus === undefined && leaseDevice.length === 0) return {};
  const isNamed = (text: string) => text.startsWith('/') || text.includes('=');
  const deviceClasses: Record<string, number> = {};
  for (const text of leaseDevice.filter((one) => !isNamed(one))) {
    const [, kind, count = '1'] = /^([A-Za-z0-9_.-]+\/[A-Za-z0-9_.-]+)(?::([1-9][0-9]{0,3}))?$/.exec(text) ?? [];
    if (kind === undefined) {
      throw new UsageError(
        `--lease-device: ${JSON.stringify(text)} is no device`,
        'write a path such as /dev/loop3, a CDI name such as vendor.com/class=name, or a kind and how many: vendor.com/class:2',
      );
    }
    deviceClasses[kind] = (deviceClasses[kind] ?? 0) + Number(count);
  }
  return {
    leases: {
      ...(leaseCpus === undefined ? {} : { cpus: cpusOf(leaseCpus) }),
      devices: leaseDevice.filter(isNamed),
      deviceClasses,
    },
  };
}

/** A number alone says how many. */
function cpusOf(text: string): number | string {
  if (/^[1-9][0-9]{0,3}$/.test(text)) return Number(text);
  if (/^[0-9]+[-,][-0-9,]*$/.test(text)) return text;
  throw new UsageError(
    `--lease-cpus: neither a number of processors nor a list of them: ${JSON.stringify(text)}`,
    'write --lease-cpus 2 for any two, --lease-cpus 0-2,7 for these; 3-3 is the one with number 3',
  );
}
