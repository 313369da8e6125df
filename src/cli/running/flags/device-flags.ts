import type { LaunchSpec } from '../../../containerizer/index.js';
import { UsageError } from '../../usage-error.js';

export interface DeviceFlags {
  readonly device: readonly string[];
  readonly gpus?: string;
}

export interface LeaseFlags {
  readonly leaseCpus?: string;
  readonly leaseDevice: readonly string[];
}

const GPUS = 'nvidia.com/gpu';
const SOURCE_ONLY = 1;
const WITH_TWO = 2;

/** Of `--device` and `--gpus`, as Docker and podman have them. @throws UsageError */
export function devicesOf({ device, gpus }: DeviceFlags): Pick<LaunchSpec, 'devices' | 'cdiDevices'> {
  const named = device.filter((text) => text.includes('='));
  return {
    devices: device.filter((text) => !text.includes('=')).map(deviceOf),
    cdiDevices: [...named, ...(gpus === undefined ? [] : gpusOf(gpus))],
  };
}

function deviceOf(text: string) {
  const parts = text.split(':');
  const [source = '', second = '', third = ''] = parts;
  const isAccess = (part: string) => /^[rwm]+$/.test(part);
  if (source.startsWith('/') && !parts.includes('')) {
    if (parts.length === SOURCE_ONLY) return { source };
    if (parts.length === WITH_TWO && isAccess(second)) return { source, access: second };
    if (parts.length === WITH_TWO && second.startsWith('/')) return { source, target: second };
    if (parts.length === WITH_TWO + 1 && second.startsWith('/') && isAccess(third))
      return { source, target: second, access: third };
  }
  throw new UsageError(
    `--device: ${JSON.stringify(text)} is no device`,
    'write SOURCE[:TARGET][:rwm], such as /dev/fuse or /dev/sda:/dev/xvda:r, or the name of a CDI device, such as nvidia.com/gpu=0',
  );
}

/** How many, or which: by the names that NVIDIA's own tools give them. */
function gpusOf(text: string): string[] {
  const plain = text.replace(/^"(.*)"$/, '$1');
  if (plain === 'all' || plain === '-1') return [`${GPUS}=all`];
  if (/^[0-9]{1,3}$/.test(plain)) return Array.from({ length: Number(plain) }, (_, index) => `${GPUS}=${index}`);
  const [, names] = /^device=([A-Za-z0-9_.:,-]+)$/.exec(plain) ?? [];
  if (names !== undefined) return names.split(',').map((name) => `${GPUS}=${name}`);
  throw new UsageError(
    `--gpus: ${JSON.stringify(text)} says nothing of GPUs`,
    'write all, a number, or device=0,1; others by --device VENDOR/CLASS=NAME',
  );
}

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
