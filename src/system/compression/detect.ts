/** How data may be stored, as its first bytes tell. The first two can be undone here, the next two by a program of the system. */
export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4' | 'compress';

/** What data of each form begins with, one character per byte. */
const MAGIC: readonly (readonly [Compression, string])[] = [
  ['gzip', '\x1f\x8b'],
  ['zstd', '\x28\xb5\x2f\xfd'],
  // A frame that a reader of zstd skips, of 16 kinds; a file may open with some. @see RFC 8878, section 3.1.2
  ...Array.from({ length: 16 }, (_, kind) => ['zstd', `${String.fromCharCode(0x50 + kind)}\x2a\x4d\x18`] as const),
  // With the level and the mark of the first block: a tar may well begin with the name `BZhang`.
  ...Array.from({ length: 9 }, (_, level) => ['bzip2', `BZh${level + 1}1AY&SY`] as const),
  // Of nothing at all: the mark of the end and the checksum of no data.
  ...Array.from({ length: 9 }, (_, level) => ['bzip2', `BZh${level + 1}\x17rE8P\x90`] as const),
  ['xz', '\xfd7zXZ\0'],
  ['lz4', '\x04\x22\x4d\x18'],
  ['compress', '\x1f\x9d'],
];

/** Bytes that tell all of them apart. */
export const MAGIC_BYTES = 10;

/**
 * What the bytes say, since names, and media types in images, say little: the two disagree in some, and the digests guard the result either way.
 * @param start at least `MAGIC_BYTES` first bytes, fewer only of data that has no more
 * @returns undefined when it is none of them, such as a tar file
 */
export function detectCompression(start: Buffer): Compression | undefined {
  const text = start.toString('latin1', 0, MAGIC_BYTES);
  return MAGIC.find(([, magic]) => text.startsWith(magic))?.[0];
}
