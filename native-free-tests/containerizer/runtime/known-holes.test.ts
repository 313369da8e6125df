import { expect, it } from 'vitest';
import { knownHoles } from '#src/containerizer/runtime/known-holes.js';

const OF_2025 = ['CVE-2025-31133', 'CVE-2025-52565', 'CVE-2025-52881'];

it.each<[string, readonly string[]]>([
  ['1.0.0-rc93', ['CVE-2024-21626', ...OF_2025]],
  ['1.1.5+ds1', ['CVE-2024-21626', ...OF_2025]],
  ['1.1.12', OF_2025],
  ['1.1.15+ds1', OF_2025],
  ['1.2.7', OF_2025],
  ['1.2.8', []],
  ['1.2.10', []],
  ['1.3.2', OF_2025],
  ['1.3.3', []],
  ['1.4.0-rc.2', OF_2025],
  ['1.4.0~rc2', OF_2025],
  ['1.4.0-rc.3', []],
  ['1.4.0', []],
  ['1.5.1', []],
  ['2.0.0', []],
  ['unknown', []],
])('runc %s has the holes that its makers mended later in its series, and no others', (version, holes) => {
  expect(knownHoles('runc', version)).toEqual(holes);
});

it.each<[string, number]>([
  ['0.10.4', 1],
  ['0.10.5', 0],
  ['1.8.1', 0],
  ['1.28', 0],
])('crun %s has %i', (version, count) => {
  expect(knownHoles('crun', version)).toHaveLength(count);
});
