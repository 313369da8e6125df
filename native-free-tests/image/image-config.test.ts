import { expect, it } from 'vitest';
import { configPlatform } from '#src/image/image-config.js';
import { formatPlatform, machinePlatform, parsePlatform } from '#src/image/platform.js';

const HERE = formatPlatform(machinePlatform());
const rootfs = { diff_ids: [] };

it.each([
  ['what both say', { os: 'linux', architecture: 's390x' }, 'linux/s390x', 'linux/s390x'],
  ['what the index says, when the config says nothing', { os: '', architecture: null }, 'linux/arm/v6', 'linux/arm/v6'],
  ['what the index says of the half that is missing', { os: 'linux' }, 'linux/arm64', 'linux/arm64'],
  ['the variant of the index', { os: 'linux', architecture: 'arm', variant: null }, 'linux/arm/v6', 'linux/arm/v6'],
  ['the variant of the config', { os: 'linux', architecture: 'arm', variant: 'v5' }, 'linux/arm/v6', 'linux/arm/v5'],
  [
    'the word of the config against that of the index',
    { os: 'linux', architecture: 'riscv64' },
    'linux/arm/v6',
    'linux/riscv64',
  ],
  ['what the config says, without an index', { os: 'windows', architecture: 'amd64' }, undefined, 'windows/amd64'],
  ["this machine's, when nobody says anything", {}, undefined, HERE],
  ["this machine's half, when only one is stated", { os: 'linux', architecture: '' }, undefined, HERE],
])('the platform of an image is %s', (_what, config, declared, platform) => {
  const stated = declared === undefined ? undefined : parsePlatform(declared);
  expect(formatPlatform(configPlatform({ ...config, rootfs }, stated))).toBe(platform);
});
