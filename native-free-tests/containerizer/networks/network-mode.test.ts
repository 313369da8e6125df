import { describe, expect, it } from 'vitest';
import { networkModeOf } from '#src/containerizer/networks/network-mode.js';

describe('the network of a launch', () => {
  it.each([
    [undefined, { kind: 'none' }],
    ['none', { kind: 'none' }],
    ['host', { kind: 'host' }],
    ['netns:/run/netns/a', { kind: 'namespace', path: '/run/netns/a' }],
    ['bridge', { kind: 'network', name: 'bridge' }],
    ['build_1.2-x', { kind: 'network', name: 'build_1.2-x' }],
  ])('%j is understood', (text, mode) => {
    expect(networkModeOf(text)).toEqual(mode);
  });

  it.each(['', 'netns:', 'netns:relative', 'container:web', 'a b', 'a/b', '-x', 'slirp4netns', 'a'.repeat(64), 'a\nb'])(
    '%j is refused',
    (text) => {
      expect(() => networkModeOf(text)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
    },
  );
});
