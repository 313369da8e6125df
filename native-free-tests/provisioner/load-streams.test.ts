import { EventEmitter } from 'node:events';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isProvisionerError, type Provisioner } from '#src/index.js';
import { buildImage, buildLayer, writeDockerArchive } from '../helpers/image-builder.js';
import { namesIn, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const image = buildImage([buildLayer([{ path: 'app', content: 'x'.repeat(300_000) }])]);

let archive: Buffer;
let uncaught: unknown[];
const note = (error: unknown) => void uncaught.push(error);
beforeEach(async () => {
  const path = join(temporaryDirectory(), 'app.tar');
  await writeDockerArchive(path, [{ image, tags: ['app:v1'] }]);
  archive = readFileSync(path);
  uncaught = [];
  process.on('uncaughtException', note);
});
afterEach(() => void process.off('uncaughtException', note));

const broken = () => new Error('the source broke');

/** Brings these pieces, one each time that it is asked, and fails when it is asked again. */
function failingAfter(pieces: readonly Buffer[], fail: (stream: Readable) => void): Readable {
  const left = [...pieces];
  return new Readable({
    read() {
      const piece = left.shift();
      if (piece === undefined) fail(this);
      else this.push(piece);
    },
  });
}

/** A stream such as old libraries have: events, and no state to ask. */
function oldStream(): Readable {
  return Object.assign(new EventEmitter(), { pipe: () => {}, pause: () => {}, resume: () => {} }) as never;
}

const raised = (stream: Readable) => void stream.destroy(broken());
const thrown = () => {
  throw broken();
};
const late = (stream: Readable) => void setImmediate(() => stream.destroy(broken()));
const start = (size: number) => [archive.subarray(0, size)];
const zipped = (size: number) => [gzipSync(archive, { level: 0 }).subarray(0, size)];
async function* generate(pieces: readonly Buffer[]) {
  yield* pieces;
  throw broken();
}

describe('a stream that fails', () => {
  test.each<[string, () => Readable]>([
    ['because its file is missing', () => createReadStream(join(temporaryDirectory(), 'missing'))],
    ['before it is handed over', () => new Readable({ read() {} }).destroy(broken())],
    ['in its first read', () => failingAfter([], raised)],
    ['by throwing in its first read', () => failingAfter([], thrown)],
    ['in its second read, after a few bytes', () => failingAfter(start(3), raised)],
    ['in its second read', () => failingAfter(start(70_000), raised)],
    ['by throwing in its second read', () => failingAfter(start(70_000), thrown)],
    ['a moment after its second read', () => failingAfter(start(70_000), late)],
    ['in its third read', () => failingAfter([...start(600), archive.subarray(600, 70_000)], raised)],
    ['from a generator that throws at once', () => Readable.from(generate([]))],
    ['from a generator that throws after its first piece', () => Readable.from(generate(start(70_000)))],
    ['compressed, in its second read', () => failingAfter(zipped(70_000), raised)],
    ['compressed, from a generator that throws after its first piece', () => Readable.from(generate(zipped(70_000)))],
  ])('%s rejects the load, leaves nothing, and ends no process', async (_, make) => {
    const p = await openMemoryStore();
    const stream = make();
    const error = await p.images.load(stream).catch((failure) => failure);
    expect(isProvisionerError(error)).toBe(true);
    expect(error.message).toMatch(/the source broke|ENOENT/);
    await expectNothing(p);
    expect(stream.destroyed).toBe(true);
  });

  test('of another library, at once or after its first piece, does so too', async () => {
    const p = await openMemoryStore();
    for (const pieces of [[], start(70_000)]) {
      const stream = oldStream();
      const load = p.images.load(stream).catch((failure) => failure);
      for (const piece of pieces) stream.emit('data', piece);
      stream.emit('error', broken());
      expect(await load).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining('the source broke') });
    }
    await expectNothing(p);
  });

  test('while it waits for its turn among many rejects its own load only', async () => {
    const p = await openMemoryStore();
    const loads = Array.from({ length: 40 }, (_, index) =>
      p.images.load(index % 2 === 0 ? Readable.from([archive]) : failingAfter([], raised).resume()),
    );
    const outcomes = await Promise.allSettled(loads);
    expect(outcomes.map(({ status }) => status)).toEqual(
      loads.map((_, index) => (index % 2 === 0 ? 'fulfilled' : 'rejected')),
    );
    expect(uncaught).toEqual([]);
  });
});

test('a stream that is refused unread fails without a word, and is let go', async () => {
  const p = await openMemoryStore();
  const refused = createReadStream(join(temporaryDirectory(), 'missing'));
  await expect(p.images.load(refused, { platform: 7 } as never)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
  const open = Readable.from([archive]);
  await p.close();
  await expect(p.images.load(open)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  for (let index = 0; index < 5; index++) await turn();
  expect([refused.destroyed, open.destroyed]).toEqual([true, true]);
  expect(uncaught).toEqual([]);
});

test('a stream of another library is loaded', async () => {
  const p = await openMemoryStore();
  const stream = oldStream();
  const load = p.images.load(stream);
  for (let at = 0; at < archive.length; at += 50_000) stream.emit('data', archive.subarray(at, at + 50_000));
  stream.emit('end');
  expect((await load)[0]?.names).toEqual(['docker.io/library/app:v1']);
});

async function expectNothing(p: Provisioner): Promise<void> {
  for (let index = 0; index < 5; index++) await turn();
  expect(uncaught).toEqual([]);
  await p.store.swept();
  expect(existsSync(p.root)).toBe(true);
  expect({ images: await p.images.list(), layers: namesIn(p, 'layers'), staging: namesIn(p, 'staging') }).toEqual({
    images: [],
    layers: [],
    staging: [],
  });
}
