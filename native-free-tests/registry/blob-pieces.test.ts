import { randomBytes, randomInt } from 'node:crypto';
import { expect, it } from 'vitest';
import { BlobPieces } from '#src/registry/blob-pieces.js';

it('what comes out is what went in, however it was cut, and keeps its bytes when the source reuses its memory', () => {
  const bytes = randomBytes(1_000_003);
  const pieces = new BlobPieces(bytes.length);
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const chunk = Buffer.from(bytes.subarray(at, at + randomInt(0, 300_000)));
    at += chunk.length;
    out.push(...pieces.add(chunk));
    chunk.fill(0);
  }
  out.push(pieces.take());
  expect(Buffer.concat(out).equals(bytes)).toBe(true);
  expect(Math.max(...out.map(({ length }) => length))).toBe(256 * 1024);
  expect([pieces.surplus, pieces.take().length]).toEqual([false, 0]);
});

it('bytes beyond the size are dropped and noticed', () => {
  const pieces = new BlobPieces(5);
  expect(Buffer.concat([...pieces.add(Buffer.from('12345678'))]).toString()).toBe('12345');
  expect(pieces.surplus).toBe(true);
});
