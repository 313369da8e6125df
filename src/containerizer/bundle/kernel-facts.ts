import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { CAPABILITIES } from './capabilities.js';
import { ULIMITS } from './limits/ulimits.js';

/** What a bundle has to know of the machine, and of what this process may give to others. */
export interface KernelFacts {
  /** By the names of `LaunchSpec`; Infinity where there is no limit. */
  readonly hardLimits: Readonly<Record<string, number>>;
  /** With `CAP_`. */
  readonly capabilities: readonly string[];
  /** Mounts can be made read-only with all that is mounted below them: since Linux 5.12. @see mount_setattr(2) */
  readonly recursiveAttributes: boolean;
}

/**
 * @param proc where `/proc` is
 * @throws like Node's `fs`
 */
export function readKernelFacts(proc = '/proc'): KernelFacts {
  const status = readFileSync(join(proc, 'self/status'), 'latin1');
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return {
    hardLimits: hardLimits(readFileSync(join(proc, 'self/limits'), 'latin1')),
    capabilities: capabilitiesOf(status),
    recursiveAttributes: major > 5 || (major === 5 && minor >= 12),
  };
}

/** A line is `Max open files   1024   1048576   files`. @see proc(5), /proc/pid/limits */
function hardLimits(text: string): Record<string, number> {
  return Object.fromEntries(
    Object.entries(ULIMITS).flatMap(([name, { title }]) => {
      const line = text.split('\n').find((one) => one.startsWith(`${title} `));
      const [, hard] = line?.slice(title.length).trim().split(/\s+/) ?? [];
      if (hard === undefined) return [];
      return [[name, hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard)]];
    }),
  );
}

/** Those that this process both has and may hand down. @see proc(5), /proc/pid/status */
function capabilitiesOf(status: string): string[] {
  const [permitted, bounding] = ['CapPrm', 'CapBnd'].map((name) => {
    const [, digits = '0'] = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status) ?? [];
    return BigInt(`0x${digits}`);
  });
  const both = (permitted ?? 0n) & (bounding ?? 0n);
  return CAPABILITIES.filter((_, bit) => ((both >> BigInt(bit)) & 1n) === 1n);
}
