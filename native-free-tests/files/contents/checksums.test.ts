import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32OfZeros } from '#src/files/contents/crc32.js';
import { FileChecksum } from '#src/files/contents/file-checksum.js';
import { InodeNumbers } from '#src/files/contents/inode-numbers.js';

describe('the checksum of a hole', () => {
  it('is that of as many zero bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.integer({ min: 0, max: 100_000 }), (before, count) => {
        const crc = crc32(before);
        expect(crc32OfZeros(crc, count)).toBe(crc32(Buffer.alloc(count), crc));
      }),
    );
  });

  it('adds up, however long the hole is', () => {
    fc.assert(
      fc.property(fc.integer(), fc.maxSafeNat(), fc.maxSafeNat(), (value, one, other) => {
        const crc = value >>> 0;
        const [a, b] = [Math.floor(one / 2), Math.floor(other / 2)];
        expect(crc32OfZeros(crc32OfZeros(crc, a), b)).toBe(crc32OfZeros(crc, a + b));
      }),
    );
  });
});

describe('the checksum of a file', () => {
  it('is the same for pieces with holes between them as for the whole', () => {
    const piece = fc.record({ gap: fc.nat(5000), bytes: fc.uint8Array({ maxLength: 2000 }) });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.nat(5000), (pieces, end) => {
        const whole: Uint8Array[] = [];
        const checksum = new FileChecksum();
        let position = 0;
        for (const { gap, bytes } of pieces) {
          whole.push(Buffer.alloc(gap), bytes);
          checksum.update(bytes, position + gap);
          position += gap + bytes.length;
        }
        whole.push(Buffer.alloc(end));
        expect(checksum.value(position + end)).toBe(crc32(Buffer.concat(whole)));
      }),
    );
  });
});

describe('the table of checksums', () => {
  it('keeps the last word about each inode, as a map would', () => {
    const half = fc.oneof(fc.nat(40), fc.integer({ min: 0, max: 0xffff_ffff }));
    const step = fc.tuple(half, half, fc.integer({ min: 0, max: 0xffff_ffff }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 3000, size: 'max' }), (steps) => {
        const table = new InodeNumbers();
        const map = new Map<string, number>();
        for (const [inode, inodeHigh, checksum] of steps) {
          table.set({ inode, inodeHigh }, checksum);
          map.set(`${inode} ${inodeHigh}`, checksum);
        }
        for (const [inode, inodeHigh] of steps) {
          expect(table.get({ inode, inodeHigh })).toBe(map.get(`${inode} ${inodeHigh}`));
        }
        expect(table.get({ inode: 41, inodeHigh: 41 })).toBe(map.get('41 41'));
      }),
      { numRuns: 30 },
    );
  });
});
