import { describe, expect, it } from 'vitest';
import { formatPlatform, machinePlatform, normalisePlatform, parsePlatform, platformFit } from '#src/image/platform.js';

describe('a platform has one spelling', () => {
  it.each([
    ['linux/amd64', 'linux/amd64'],
    ['amd64', 'linux/amd64'],
    ['x86_64', 'linux/amd64'],
    ['Linux/X86-64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['arm64', 'linux/arm64'],
    ['aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['armhf', 'linux/arm/v7'],
    ['armel', 'linux/arm/v6'],
    ['i386', 'linux/386'],
    ['windows/amd64', 'windows/amd64'],
    ['linux/s390x', 'linux/s390x'],
  ])('%s is %s', (text, spelling) => {
    const platform = parsePlatform(text);
    expect(formatPlatform(platform)).toBe(spelling);
    expect(normalisePlatform(platform)).toEqual(platform);
  });

  it.each(['', '/', 'linux/', '/amd64', 'linux/arm/v7/x', 'linux amd64', 'linux/ämd'])('%j is refused', (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'ERR_BAD_PLATFORM' }));
  });

  it("this machine's is a Linux one in Go's words", () => {
    expect(machinePlatform('x64')).toEqual({ os: 'linux', architecture: 'amd64' });
    expect(machinePlatform('arm')).toEqual({ os: 'linux', architecture: 'arm', variant: 'v7' });
    expect(machinePlatform('ppc64')).toEqual({ os: 'linux', architecture: 'ppc64le' });
    expect(machinePlatform().os).toBe('linux');
  });
});

it('the spelling of images is put right, too', () => {
  const platform = normalisePlatform({ os: 'Linux', architecture: 'ARM', variant: 'V6' });
  expect(platform).toEqual({ os: 'linux', architecture: 'arm', variant: 'v6' });
  expect(normalisePlatform({ os: 'linux', architecture: 'constructor' }).architecture).toBe('constructor');
});

describe('a machine runs its own variant best, older ones less well, and newer ones not at all', () => {
  it.each([
    ['linux/amd64', ['linux/amd64', 'linux/amd64/v1']],
    ['linux/amd64/v3', ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64']],
    ['linux/arm/v7', ['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']],
    ['linux/arm64', ['linux/arm64']],
    ['linux/arm64/v9', ['linux/arm64/v9', 'linux/arm64/v8']],
  ])('%s', (wanted, offers) => {
    const fits = offers.map((offer) => platformFit(parsePlatform(wanted), parsePlatform(offer)));
    expect(fits.every((fit) => fit > 0)).toBe(true);
    expect(fits).toEqual(fits.toSorted((left, right) => right - left));
  });

  it.each([
    ['linux/amd64', 'linux/arm64'],
    ['linux/amd64', 'windows/amd64'],
    ['linux/amd64', 'linux/amd64/v2'],
    ['linux/amd64', 'linux/386'],
    ['linux/arm/v6', 'linux/arm/v7'],
    ['linux/arm64', 'linux/arm/v7'],
    ['linux/arm64', 'linux/arm64/v9'],
  ])('%s does not run %s', (wanted, offer) => {
    expect(platformFit(parsePlatform(wanted), parsePlatform(offer))).toBe(0);
  });
});
