import { describe, expect, it } from 'vitest';
import { type MountPlace, mountNamespaceHere, whereabouts } from '#src/system/locks/mount-place.js';

const here: MountPlace = { boot: 'now', namespace: 'mnt:[1]', process: 'p' };

describe('a recorded place of a mount', () => {
  it.each([
    ['is here when boot and namespace are ours, whatever process it was', { ...here, process: 'other' }, 'here'],
    ['is elsewhere in another namespace of this boot', { ...here, namespace: 'mnt:[2]' }, 'elsewhere'],
    ['is of before when the machine has been booted since', { ...here, boot: 'then' }, 'before'],
    [
      'is of before also in the namespace that had our number then',
      { ...here, boot: 'then', namespace: 'mnt:[2]' },
      'before',
    ],
    ['is unknown when there is none', undefined, 'unknown'],
    ['is unknown without a boot id', { ...here, boot: '' }, 'unknown'],
    ['is unknown without a namespace', { ...here, namespace: '' }, 'unknown'],
  ] as const)('%s', (_, place, expected) => {
    expect(whereabouts(place, here)).toBe(expected);
  });

  it('is unknown to a process that does not know its own', () => {
    expect(whereabouts(here, { ...here, boot: '' })).toBe('unknown');
    expect(whereabouts(here, { ...here, namespace: '' })).toBe('unknown');
  });

  it('is the same for everything that this process mounts', () => {
    const [one, other] = [mountNamespaceHere(), mountNamespaceHere()];
    expect(one).toEqual(other);
    expect(whereabouts({ ...other, process: 'p' }, one)).toBe(process.platform === 'linux' ? 'here' : 'unknown');
  });
});
