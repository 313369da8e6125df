import type { RuntimeName } from './oci-runtime.js';

/** A fault by which whoever makes an image, or runs in a container, gets out of it. */
interface Hole {
  readonly runtime: RuntimeName;
  readonly cve: string;
  /** The first release without it in each series, the oldest first; series before them stay with it, those after them never had it. */
  readonly fixedIn: readonly string[];
}

/**
 * Those that are open to what is run here. Others are not: crun's handler for virtual machines is never asked for (CVE-2025-24965, CVE-2026-84042), nor its `exec --user` (CVE-2026-30892), every container
 * has a `/dev` of its own (CVE-2026-88264, CVE-2026-88265), and no link of an image leads a runtime to this machine's `/dev` (CVE-2026-41579).
 * @see https://github.com/opencontainers/runc/security/advisories, https://github.com/containers/crun/security/advisories
 */
const HOLES: readonly Hole[] = [
  { runtime: 'runc', cve: 'CVE-2024-21626', fixedIn: ['1.1.12'] },
  { runtime: 'runc', cve: 'CVE-2025-31133', fixedIn: ['1.2.8', '1.3.3', '1.4.0-rc.3'] },
  { runtime: 'runc', cve: 'CVE-2025-52565', fixedIn: ['1.2.8', '1.3.3', '1.4.0-rc.3'] },
  { runtime: 'runc', cve: 'CVE-2025-52881', fixedIn: ['1.2.8', '1.3.3', '1.4.0-rc.3'] },
  { runtime: 'crun', cve: 'CVE-2019-18837', fixedIn: ['0.10.5'] },
];

/**
 * What a release of a runtime is known to be open to, as its makers number it: a distribution may have mended it without another number.
 * @param version such as `1.1.5+ds1` @returns CVE numbers; none for a version that cannot be read
 */
export function knownHoles(runtime: RuntimeName, version: string): string[] {
  const parts = partsOf(version);
  if (parts === undefined) return [];
  return HOLES.filter((hole) => hole.runtime === runtime && isOpen(parts, hole.fixedIn)).map(({ cve }) => cve);
}

/** Major, minor, patch, and the number of a release candidate, which a release has none of. */
type Parts = readonly [number, number, number, number];

function partsOf(version: string): Parts | undefined {
  const [, major, minor, patch = '0', candidate] = /^(\d+)\.(\d+)(?:\.(\d+))?(?:[-~]rc\.?(\d+))?/.exec(version) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return [Number(major), Number(minor), Number(patch), candidate === undefined ? Infinity : Number(candidate)];
}

function isOpen(version: Parts, fixedIn: readonly string[]): boolean {
  const fixes = fixedIn.map((text) => partsOf(text) as Parts);
  const ofSeries = fixes.find(([major, minor]) => major === version[0] && minor === version[1]);
  const fix = ofSeries ?? fixes.at(-1);
  return fix !== undefined && compare(version, fix) < 0;
}

function compare(one: Parts, other: Parts): number {
  for (const [at, part] of one.entries()) {
    const against = other[at] ?? 0;
    if (part !== against) return part < against ? -1 : 1;
  }
  return 0;
}
