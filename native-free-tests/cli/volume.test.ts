import { describe, expect, it } from 'vitest';
import { volumeOf } from '#src/cli/running/flags/volume.js';

const bind = { type: 'bind', source: '/s', target: '/t', readOnly: false } as const;
const [WITH_SELINUX, WITHOUT_SELINUX] = [() => true, () => false];

describe('a volume that is to be labelled for SELinux', () => {
  it.each([
    ['z', bind],
    ['Z', bind],
    ['ro,z', { ...bind, readOnly: true }],
    ['Z,noexec', { ...bind, exec: false }],
  ])('is mounted as without the word where there is no SELinux: %s', (words, mount) => {
    expect(volumeOf(`/s:/t:${words}`, WITHOUT_SELINUX)).toEqual(mount);
  });

  it.each([
    ['z', 'z'],
    ['ro,Z', 'Z'],
  ])('is refused where there is SELinux, with what to do instead: %s', (words, word) => {
    expect(() => volumeOf(`/s:/t:${words}`, WITH_SELINUX)).toThrow(
      expect.objectContaining({
        name: 'UsageError',
        message: `--volume: no labels of SELinux are given here, as ${word} asks for`,
        hint: `leave out ${word}, and label the source once by hand: chcon -R -t container_file_t /s`,
      }),
    );
  });

  it('is refused with no path to label where it has none', () => {
    expect(() => volumeOf('data:/t:z', WITH_SELINUX)).toThrow(expect.objectContaining({ hint: 'leave out z' }));
  });

  it('is no different for it otherwise', () => {
    expect(volumeOf('/s:/t:ro', WITH_SELINUX)).toEqual({ ...bind, readOnly: true });
  });
});
