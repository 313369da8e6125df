import { spawnSync } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { createZstdStream, undoZstd } from '#src/pull/zstd-stream.js';
import { zstd } from '../helpers/image-builder.js';
import { expectSame, failure } from './workbench.js';

const inflate = async (compressed: Buffer, size = 64 * 1024): Promise<Buffer> => {
  const output: Buffer[] = [];
  for await (const chunk of undoZstd(inPieces(compressed, size), 'the archive')) output.push(chunk);
  return Buffer.concat(output);
};

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

const text = Buffer.from(Array.from({ length: 20_000 }, (_, line) => `line ${line * 7919} ${line % 13}\n`).join(''));
const zeros = Buffer.alloc(10_000_000);
const hasZstd = spawnSync('zstd', ['--version']).status === 0;

describe('zstd is undone block by block', () => {
  it.each([
    ['text', text],
    ['zeros', zeros],
    ['a few bytes', Buffer.from('abc')],
    ['nothing', Buffer.alloc(0)],
  ])('%s', async (_what, bytes) => {
    expectSame(await inflate(zstd(bytes)), bytes);
  });

  it('in pieces of any size, and over several frames', async () => {
    const frames = Buffer.concat([
      zstd(Buffer.from('one ')),
      Buffer.from('5f2a4d1803000000ffffff', 'hex'),
      zstd(text),
      zstd(Buffer.alloc(0)),
    ]);
    for (const size of [1, 2, 3, 7, 1000]) {
      expectSame(await inflate(frames, size), Buffer.concat([Buffer.from('one '), text]));
    }
  });

  it.skipIf(!hasZstd).each(['-1', '-3', '-19', '--no-check', '--fast=5'])(
    `what zstd %s writes${hasZstd ? '' : ' (skipped: there is no zstd command)'}`,
    async (option) => {
      const { stdout } = spawnSync('zstd', [option, '-c'], { input: text, maxBuffer: 2 ** 26 });
      expectSame(await inflate(stdout), text);
    },
  );

  it('as a stream', async () => {
    const output: Buffer[] = [];
    await pipeline(
      Readable.from([zstd(text)]),
      createZstdStream('the archive'),
      async (stream: AsyncIterable<Buffer>) => {
        for await (const chunk of stream) output.push(chunk);
      },
    );
    expectSame(Buffer.concat(output), text);
  });
});

describe('zstd that would harm is refused', () => {
  it.each([
    ['a window of 2 GiB', '28b52ffd00a8', 'ERR_SOURCE_UNSUPPORTED'],
    ['a content of 2^62 bytes in one segment', '28b52ffde00000000000000040', 'ERR_SOURCE_UNSUPPORTED'],
    ['a dictionary', '28b52ffd015810', 'ERR_SOURCE_UNSUPPORTED'],
    ['a block larger than blocks may be', '28b52ffd0058fcffff', 'ERR_SOURCE_MALFORMED'],
    ['a reserved block type', '28b52ffd00580e0000', 'ERR_SOURCE_MALFORMED'],
    [
      'other data behind the frame',
      `${zstd(Buffer.from('a')).toString('hex')}0011223344556677`,
      'ERR_SOURCE_MALFORMED',
    ],
    ['a frame that ends early', zstd(text).subarray(0, 5000).toString('hex'), 'ERR_SOURCE_MALFORMED'],
  ])('%s', async (_what, hex, code) => {
    const bytes = Buffer.concat([Buffer.from(hex, 'hex'), hex.length < 30 ? Buffer.alloc(64) : Buffer.alloc(0)]);
    expect((await failure(inflate(bytes))).code).toBe(code);
  });
});

it('a few kilobytes that mean half a gigabyte do not hold the event loop, nor all of it in memory', async () => {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  const bomb = zstd(Buffer.alloc(128 * 1024)).subarray(9);
  const before = process.memoryUsage().rss;
  const block = Buffer.from(bomb);
  block[0] = (block[0] ?? 0) & 0xfe;
  const head = Buffer.from('28b52ffd0058', 'hex'); // a window of 2 MiB
  const bytes = Buffer.concat([head, ...Array.from({ length: 4000 }, () => block), bomb]);
  delay.enable();
  let total = 0;
  let peak = 0;
  await pipeline(Readable.from([bytes]), createZstdStream('the archive'), async (stream: AsyncIterable<Buffer>) => {
    for await (const chunk of stream) {
      total += chunk.length;
      peak = Math.max(peak, process.memoryUsage().rss);
    }
  });
  delay.disable();
  expect(total).toBe(4001 * 128 * 1024);
  expect(peak - before).toBeLessThan(256e6);
  // The promise is 50 ms; machines that run tests are slow and shared.
  expect(delay.max / 1e6).toBeLessThan(500);
});
