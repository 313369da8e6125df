import { describe, expect, it } from 'vitest';
import { copyArgument } from '#src/cli/running/copy-argument.js';

describe('an argument of cp', () => {
  it.each([
    ['-', { is: 'stream' }],
    ['job:/etc', { is: 'container', containerId: 'job', path: '/etc' }],
    ['pod/side:etc/a:b', { is: 'container', containerId: 'pod/side', path: 'etc/a:b' }],
    ['./job:/etc', { is: 'machine', path: './job:/etc' }],
    ['/a:b', { is: 'machine', path: '/a:b' }],
    ['../a:b', { is: 'machine', path: '../a:b' }],
    ['dir/', { is: 'machine', path: 'dir/' }],
  ])('%j means %j', (text, meant) => {
    expect(copyArgument(text)).toEqual(meant);
  });

  it.each([
    [':/etc', 'there is no container', './:/etc'],
    ['job:', 'there is no path', 'job:/'],
    ['', 'a path is empty', 'CONTAINER:PATH'],
  ])('%j is refused with a hint', (text, message, hint) => {
    expect(() => copyArgument(text)).toThrow(
      expect.objectContaining({
        name: 'UsageError',
        message: expect.stringContaining(message),
        hint: expect.stringContaining(hint),
      }),
    );
  });
});
