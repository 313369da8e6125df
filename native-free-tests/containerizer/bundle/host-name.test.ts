import { describe, expect, it } from 'vitest';
import { hostNameOf } from '#src/containerizer/bundle/host-name.js';

const LAUNCH = '0123456789abcdef0123456789abcdef';

describe('the name of a host', () => {
  it.each([
    ['job-1', 'job-1'],
    ['pod/job_1', 'job-1'],
    ['a/-x-', 'x'],
    ['v1.2', 'v1.2'],
    ['a/..b..', 'b'],
    ['___', '0123456789ab'],
    ['x'.repeat(100), 'x'.repeat(63)],
    [`${'x'.repeat(62)}_y`, 'x'.repeat(62)],
  ])('of the container %s is %s', (containerId, name) => {
    expect(hostNameOf(undefined, containerId, LAUNCH)).toBe(name);
  });

  it.each(['h', 'a.b-c.d', 'x'.repeat(63)])('may be %s', (name) => {
    expect(hostNameOf(name, 'job', LAUNCH)).toBe(name);
  });

  it.each(['', '-a', 'a-', 'a..b', 'a_b', 'a b', 'a\n127.0.0.1 evil', 'ä', 'x'.repeat(64), 'a.'.repeat(33)])(
    'may not be %j',
    (name) => {
      expect(() => hostNameOf(name, 'job', LAUNCH)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
    },
  );
});
