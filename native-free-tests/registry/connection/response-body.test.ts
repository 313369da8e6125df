import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Pace } from '#src/registry/connection/pace.js';
import { ResponseBody } from '#src/registry/connection/response-body.js';

const CHUNK = 65_536;

/** A body, and what it has told its source. */
function makeBody(length?: number) {
  const told: string[] = [];
  const body = new ResponseBody(
    { pause: () => told.push('pause'), resume: () => told.push('resume'), abort: () => told.push('abort') },
    length,
  );
  return { body, told };
}

/** Reads all, and looks at each piece before it asks for the next one. */
async function readAll(body: ResponseBody): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

it.each([
  ['states its length', 5_000_003],
  ['does not', undefined],
])(
  'what comes out is what went in, however it was cut, also when the source uses its memory again, where a server %s',
  async (_, length) => {
    const bytes = randomBytes(5_000_003);
    const { body, told } = makeBody(length);
    const read = readAll(body);
    const memory = Buffer.alloc(300_000);
    for (let at = 0; at < bytes.length; ) {
      const count = bytes.copy(memory, 0, at, at + randomInt(1, memory.length));
      at += count;
      body.add(memory.subarray(0, count));
      while (told.at(-1) === 'pause') await sleep(1);
    }
    body.end();
    expect((await read).equals(bytes)).toBe(true);
    expect(told).not.toContain('abort');
  },
);

it('the source waits while the reader is behind, and no longer', async () => {
  const { body, told } = makeBody();
  let given = 0;
  while (told.length === 0) {
    body.add(Buffer.alloc(CHUNK));
    given += CHUNK;
  }
  expect(told).toEqual(['pause']);
  expect(given).toBeLessThan(4 * 1024 * 1024);
  const pieces = body[Symbol.asyncIterator]();
  await pieces.next();
  expect(told).toEqual(['pause', 'resume']);
});

it('bytes that come slowly do not wait for a whole piece', async () => {
  const { body } = makeBody(4 * CHUNK);
  void (async () => {
    for (let n = 0; n < 4; n++) {
      body.add(Buffer.alloc(CHUNK, n));
      await sleep(60);
    }
    body.end();
  })();
  let count = 0;
  for await (const _ of body) count++;
  expect(count).toBeGreaterThan(1);
});

it('what came before an error is handed on before it', async () => {
  const { body } = makeBody(4 * CHUNK);
  const failure = new Error('cut');
  body.add(Buffer.alloc(CHUNK));
  body.end({ error: failure });
  const pieces = body[Symbol.asyncIterator]();
  expect((await pieces.next()).value).toHaveLength(CHUNK);
  await expect(pieces.next()).rejects.toBe(failure);
});

it('the start of it is exactly so long, and breaks off the rest', async () => {
  const { body, told } = makeBody();
  body.add(Buffer.alloc(CHUNK, 1));
  await sleep(60);
  body.add(Buffer.alloc(CHUNK, 2));
  const start = await body.start(CHUNK + 10, new Pace({ stallTimeout: 1000, minBytesPerSecond: 0 }));
  expect(start).toHaveLength(CHUNK + 10);
  expect([start[CHUNK - 1], start[CHUNK]]).toEqual([1, 2]);
  expect(told).toContain('abort');
});

it('one that is shorter than that is waited for, and its connection kept', async () => {
  const { body, told } = makeBody(3);
  const start = body.start(10, new Pace({ stallTimeout: 1000, minBytesPerSecond: 0 }));
  body.add(Buffer.from('abc'));
  body.end();
  expect((await start).toString()).toBe('abc');
  body.destroy();
  expect(told).toEqual([]);
});
