import type { IoLimit, LaunchLimits } from '../../../containerizer/index.js';
import { parseMemory } from '../../output/parse-units.js';
import { UsageError } from '../../usage-error.js';

/** As commander names them. */
export interface IoFlags {
  readonly deviceReadBps: readonly string[];
  readonly deviceWriteBps: readonly string[];
  readonly deviceReadIops: readonly string[];
  readonly deviceWriteIops: readonly string[];
}

/** Each may be repeated. */
export const IO_FLAGS: readonly (readonly [flag: string, description: string])[] = [
  ['--device-read-bps <path:rate>', 'bytes that may be read of a disk in a second: /dev/sda:10mb'],
  ['--device-write-bps <path:rate>', 'bytes that may be written to a disk in a second'],
  ['--device-read-iops <path:rate>', 'operations of reading a disk in a second: /dev/sda:100'],
  ['--device-write-iops <path:rate>', 'operations of writing to a disk in a second'],
];

/** As Docker has them, sizes in 1024s. @throws UsageError */
export function ioOf(flags: IoFlags): Pick<LaunchLimits, 'io'> {
  const limits = [
    ...flags.deviceReadBps.map((text) => limitOf(text, '--device-read-bps', 'readBps', parseMemory)),
    ...flags.deviceWriteBps.map((text) => limitOf(text, '--device-write-bps', 'writeBps', parseMemory)),
    ...flags.deviceReadIops.map((text) => limitOf(text, '--device-read-iops', 'readIops', parseCount)),
    ...flags.deviceWriteIops.map((text) => limitOf(text, '--device-write-iops', 'writeIops', parseCount)),
  ];
  const devices = new Set(limits.map(({ device }) => device));
  const io = [...devices].map((device): IoLimit => Object.assign({}, ...limits.filter((one) => one.device === device)));
  return io.length === 0 ? {} : { io };
}

function limitOf(
  text: string,
  option: string,
  name: Exclude<keyof IoLimit, 'device'>,
  parse: (text: string, option: string) => number,
): IoLimit {
  const at = text.lastIndexOf(':');
  const device = text.slice(0, at);
  if (at < 0 || !device.startsWith('/'))
    throw new UsageError(`${option}: not a disk and a rate: ${JSON.stringify(text)}`, `write ${option} /dev/sda:RATE`);
  return { device, [name]: parse(text.slice(at + 1), option) };
}

function parseCount(text: string, option: string): number {
  if (/^[0-9]{1,10}$/.test(text)) return Number(text);
  throw new UsageError(`${option}: not a number: ${JSON.stringify(text)}`, `write ${option} /dev/sda:100`);
}
