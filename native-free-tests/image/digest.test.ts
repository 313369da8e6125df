import { expect, it } from 'vitest';
import { digestAlgorithm, digestHex, isDigest, parseDigest } from '#src/image/digest.js';

const SHA256 = `sha256:${'0123456789abcdef'.repeat(4)}`;
const SHA512 = `sha512:${'0123456789abcdef'.repeat(8)}`;

it('a digest tells its algorithm and its digits', () => {
  expect([SHA256, SHA512].map((text) => digestAlgorithm(parseDigest(text)))).toEqual(['sha256', 'sha512']);
  expect(digestHex(parseDigest(SHA256))).toBe(SHA256.slice(7));
});

it.each([
  '',
  'sha256:',
  SHA256.slice(0, -1),
  `${SHA256}0`,
  `${SHA256}\n`,
  ` ${SHA256}`,
  SHA256.toUpperCase(),
  SHA256.replace('sha256', 'sha512'),
  SHA256.replace('sha256', 'md5'),
  SHA256.slice(7),
  'sha256:../../etc/passwd',
  `sha256:${'g'.repeat(64)}`,
  `sha256:${'../'.repeat(21)}a`,
])('%j is no digest', (text) => {
  expect(isDigest(text)).toBe(false);
  expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'ERR_BAD_DIGEST' }));
});
