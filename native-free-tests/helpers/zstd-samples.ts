import { spawnSync } from 'node:child_process';
import { text } from './pieces.js';

/** Compressed by the `zstd` command; it is there in CI. */
export const hasZstdCommand = spawnSync('zstd', ['--version']).status === 0;

export function zstdCommand(bytes: Buffer, ...options: readonly string[]): Buffer {
  const { status, stdout, stderr } = spawnSync('zstd', ['-q', '-c', ...options], { input: bytes, maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`zstd: ${stderr}`);
  return stdout;
}

/**
 * The first 400 bytes of `text`, as `zstd -19 --check` writes them: Huffman coded literals, coded sequences, the size and a checksum. Kept here so that decoders meet a real frame
 * also where there is no such command.
 */
export const realText = text.subarray(0, 400);
export const REAL_FRAME = Buffer.from(
  [
    '28b52ffd649000d50400220c1a0fc0a5d8c6ea9f4f6eda5cb9fd10e6b09479a59cda3448678ed2bf5f598eb8f253b1a355e8',
    'c63ba93aa3d8a2b0296421e248d10c295e42dbad659545cbd349b434095f79d15b19c75e7aa378a6ce19b28b549f4c9f8f58',
    'afcef0fe88d0c6dcf27a0f8241213000021da8101ca1e163202598917c1012093b1c8d136c413da221771ab3fb00704d2178',
    'e817ecb9ebf3180ff878cd42e0537765f3c6',
  ].join(''),
  'hex',
);

/** Frames to be skipped, one of them empty. @see RFC 8878, 3.1.2 */
export const SKIPPABLE: readonly Buffer[] = ['502a4d1803000000ffffff', '5f2a4d1800000000'].map((hex) =>
  Buffer.from(hex, 'hex'),
);

/**
 * A frame whose table for the weights of Huffman codes has one symbol only, which takes no bits: a decoder that reads symbols until the bits are used up goes round for ever.
 * @see RFC 8878, 4.2.1.2
 */
export const ENDLESS = Buffer.from('28b52ffd20647d0000a2c00206f003ffffff01ffffff0100', 'hex');

/**
 * A frame whose one block has sequences that copy a hundred kilobytes each, 60 000 of them: a decoder that does not see that they go beyond the block copies for minutes.
 * @see RFC 8878, 3.1.1.3.2
 */
export function endlessCopies(): Buffer {
  const SEQUENCES = 60_000;
  const head = Buffer.from('28b52ffd0040', 'hex');
  // No literals; the number of sequences; each of the three tables has one symbol: no literals, the longest match, the offset before.
  const section = Buffer.concat([Buffer.from([0, 255]), Buffer.alloc(2), Buffer.from([0b0101_0100, 0, 0, 52])]);
  section.writeUInt16LE(SEQUENCES - 0x7f00, 2);
  const block = Buffer.concat([section, Buffer.alloc(2 * SEQUENCES, 0xff), Buffer.from([1])]);
  const header = Buffer.alloc(3);
  header.writeUIntLE((block.length << 3) | (2 << 1) | 1, 0, 3);
  return Buffer.concat([head, header, block]);
}

/** A frame of blocks that repeat one byte. */
export function zstdRuns(windowDescriptor: number, blockBytes: number, blocks: number): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt32LE(0xfd2fb528, 0);
  head.writeUInt8(windowDescriptor, 5);
  const block = Buffer.alloc(4);
  block.writeUIntLE((blockBytes << 3) | (1 << 1), 0, 3);
  return Buffer.concat([head, ...Array.from({ length: blocks }, () => block), Buffer.from([1, 0, 0])]);
}
