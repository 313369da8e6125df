import { UsageError } from '../usage-error.js';

const SIZES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  gb: 1e9,
  t: 1e12,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

const AGES: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `20GB`, `512MiB`, `1.5g`, `4096`: bytes. Units of a thousand, as sizes are shown; those with an i of 1024. @param option for the error */
export function parseSize(text: string, option: string): number {
  const [, number, unit = ''] = /^([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)$/i.exec(text) ?? [];
  const factor = SIZES[unit.toLowerCase()];
  if (number !== undefined && factor !== undefined) return Math.round(Number(number) * factor);
  throw new UsageError(`${option}: not a size: ${JSON.stringify(text)}`, 'write a size such as 20GB, 512MiB or 4096');
}

/** `30m`, `12h`, `7d`, `1h30m`: milliseconds. @param option for the error */
export function parseAge(text: string, option: string): number {
  if (/^(?:[0-9]+(?:\.[0-9]+)?[smhdw])+$/.test(text)) {
    let age = 0;
    for (const [, number, unit] of text.matchAll(/([0-9]+(?:\.[0-9]+)?)([smhdw])/g)) {
      age += Number(number) * (AGES[unit as string] as number);
    }
    return age;
  }
  throw new UsageError(`${option}: not an age: ${JSON.stringify(text)}`, 'write an age such as 30m, 12h, 7d or 1h30m');
}

/** A whole number from 1 on. @param option for the error */
export function parseCount(text: string, option: string, most: number): number {
  const count = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= most) return count;
  throw new UsageError(
    `${option}: not a number from 1 to ${most}: ${JSON.stringify(text)}`,
    `write ${option} 4, for instance`,
  );
}

const MEMORY_UNITS = 'bkmgt';

/** In units of 1024, as Docker and the kernel count memory: `512m`, `1mb`. @param option for errors @throws UsageError */
export function parseMemory(text: string, option: string): number {
  const [, number, unit = 'b'] = /^([0-9]+(?:\.[0-9]+)?)([bkmgt]?)i?b?$/.exec(text.trim().toLowerCase()) ?? [];
  if (number !== undefined) return Math.round(Number(number) * 1024 ** MEMORY_UNITS.indexOf(unit || 'b'));
  throw new UsageError(`${option}: not a size: ${JSON.stringify(text)}`, 'write a size such as 512m or 2g');
}
