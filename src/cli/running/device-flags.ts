import type { LaunchSpec } from '../../containerizer/index.js';
import { UsageError } from '../usage-error.js';

export interface DeviceFlags {
  readonly device: readonly string[];
  readonly gpus?: string;
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
