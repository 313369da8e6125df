import { describe, expect, it } from 'vitest';
import { reasonNotToMount } from '#src/containers/rootfses/mounted-elsewhere.js';
import type { MountPlace } from '#src/system/locks/mount-place.js';

const here: MountPlace = { boot: 'now', namespace: 'mnt:[1]', process: 'me' };
const places = {
  here: { ...here, process: 'dead' },
  before: { ...here, boot: 'then', process: 'dead' },
  'another namespace, of a living process': { ...here, namespace: 'mnt:[2]', process: 'alive' },
  'another namespace, of a dead process': { ...here, namespace: 'mnt:[2]', process: 'dead' },
  'nowhere that is known': undefined,
} satisfies Record<string, MountPlace | undefined>;

describe('a rootfs that is not mounted here', () => {
  it.each([
    ['here', false, true],
    ['before', false, true],
    ['another namespace, of a living process', false, false],
    ['another namespace, of a dead process', false, true],
    ['nowhere that is known', false, true],
    // A copy of the mount can outlive the namespace whose number is ours now, and a recovery may be mounting it just now.
    ['here', true, false],
    ['before', true, false],
    ['another namespace, of a living process', true, false],
    ['another namespace, of a dead process', true, false],
    ['nowhere that is known', true, false],
    ['here', undefined, true],
    ['before', undefined, true],
    ['another namespace, of a living process', undefined, false],
    ['another namespace, of a dead process', undefined, false],
    ['nowhere that is known', undefined, false],
  ] as const)('and was mounted %s, in use %s, may be mounted: %s', (place, inUse, expected) => {
    const reason = reasonNotToMount(places[place], here, inUse, (process) => process === 'alive');
    expect(reason === undefined).toBe(expected);
    if (reason !== undefined && place.startsWith('another')) expect(reason).toContain('mnt:[2]');
  });
});
