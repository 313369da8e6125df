import { randomBytes, randomInt } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { BlobPieces, readPieces } from '#src/registry/blob-pieces.js';

it('what comes out is what went in, however it was cut, and keeps its bytes when the source reuses its memory', () => {
  const bytes = randomBytes(2_000_003);
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
  expect(Math.max(...out.map(({ length }) => length))).toBe(512 * 1024);
  expect([pieces.surplus, pieces.take().length]).toEqual([false, 0]);
});

it('bytes beyond the size are dropped and noticed', () => {
  const pieces = new BlobPieces(5);
  expect(Buffer.concat([...pieces.add(Buffer.from('12345678'))]).toString()).toBe('12345');
  expect(pieces.surplus).toBe(true);
});

it('bytes that come slowly do not wait for a whole piece', async () => {
  const body = Readable.from(
    (async function* () {
      for (let n = 0; n < 4; n++) {
        yield Buffer.alloc(65_536, n);
        await sleep(60);
      }
    })(),
  );
  let count = 0;
  for await (const _ of readPieces(body, new BlobPieces(4 * 65_536))) count++;
  expect(count).toBeGreaterThan(1);
});

it('what came before an error is handed on before it', async () => {
  const failure = new Error('cut');
  const body = Readable.from(
    (async function* () {
      yield Buffer.alloc(65_536);
      throw failure;
    })(),
  );
  const read = readPieces(body, new BlobPieces(4 * 65_536));
  expect((await read.next()).value).toHaveLength(65_536);
  await expect(read.next()).rejects.toBe(failure);
});
