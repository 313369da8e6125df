import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { ConnectionBoard, ConnectionShare, type ShareOfConnections } from '#src/registry/blobs/connection-share.js';
import type { PartRange, PartsEnded } from '#src/registry/blobs/fetched-part.js';
import { PartsAhead, partsFrom } from '#src/registry/blobs/parts-ahead.js';
import { ResponseBody } from '#src/registry/connection/response-body.js';
import type { Answer } from '#src/registry/connection/send-request.js';

const PART = 256 * 1024;
const blob = randomBytes(12 * PART);

interface Request extends PartRange {
  /** Its body, which brings nothing by itself. */
  readonly body: ResponseBody;
  readonly answer: (answer?: Partial<Answer>) => void;
  readonly fail: (error: Error) => void;
  readonly isAborted: () => boolean;
}

/** What comes after the first three parts of the blob, and the requests for it. */
function parts({ limit = 4, from = 3 * PART, bytesPerSecond = PART } = {}) {
  const requests: Request[] = [];
  const board = new ConnectionBoard();
  const place = board.enter('a', limit) as ShareOfConnections;
  const ask = (range: PartRange, signal: AbortSignal) =>
    new Promise<Answer>((resolve, reject) => {
      const body = new ResponseBody({ pause() {}, resume() {}, abort() {} }, undefined);
      const headers = { 'content-range': `bytes ${range.first}-${range.last}/${blob.length}` };
      const answer = (other: Partial<Answer> = {}) => resolve({ status: 206, headers, body, ...other });
      signal.addEventListener('abort', () => {
        reject(signal.reason);
        body.end({ error: signal.reason });
      });
      requests.push({ ...range, body, answer, fail: reject, isAborted: () => signal.aborted });
    });
  const ahead = new PartsAhead({
    ...{ from, size: blob.length, bytesPerSecond, ask },
    share: new ConnectionShare(place),
    now: () => 0,
  });
  const bring = (request: Request | undefined) => {
    if (request === undefined) throw new Error('not asked for');
    request.answer();
    request.body.add(blob.subarray(request.first, request.last + 1));
    request.body.end();
  };
  return { ahead, requests, bring, board, place };
}

/** Reads as fast as pieces come. */
function reading(ahead: PartsAhead) {
  const pieces: Buffer[] = [];
  const done = (async () => {
    for await (const piece of ahead.chunks()) pieces.push(Buffer.from(piece));
  })();
  done.catch(() => {});
  return { done, read: () => Buffer.concat(pieces) };
}

const turns = async () => {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
};

it('parts are asked for in order over as many connections as may be, and handed on in order whichever comes first', async () => {
  const { ahead, requests, bring } = parts();
  await turns();
  expect(requests.map(({ first }) => first / PART)).toEqual([3, 4, 5]);
  bring(requests[2]);
  bring(requests[1]);
  await turns();
  expect(ahead.areComing).toBe(false);
  bring(requests[0]);
  await turns();
  expect(ahead.areComing).toBe(true);
  const { done, read } = reading(ahead);
  for (let next = 3; next < 9; next++) {
    await turns();
    bring(requests[next]);
  }
  await done;
  expect(read().equals(blob.subarray(3 * PART))).toBe(true);
  await ahead.close();
});

it('no more is fetched ahead of its reader than a part for each connection', async () => {
  const { ahead, requests, bring } = parts();
  for (let next = 0; next < 3; next++) {
    await turns();
    bring(requests[next]);
  }
  await turns();
  expect(requests).toHaveLength(3);
  await ahead.close();
});

it('where there is no room for another connection there are none', async () => {
  const { ahead, requests } = parts({ limit: 1 });
  await turns();
  expect(ahead.isEmpty).toBe(true);
  expect(requests).toEqual([]);
  await ahead.close();
});

it('they end where no other connection is left: a layer that begins has taken its place', async () => {
  const { ahead, requests, bring, board } = parts({ limit: 2 });
  await turns();
  board.enter('a', 2);
  bring(requests[0]);
  const { done, read } = reading(ahead);
  await turns();
  for (const request of requests.slice(1)) bring(request);
  await done;
  expect(read().length).toBeGreaterThanOrEqual(PART);
  expect(
    blob
      .subarray(3 * PART)
      .subarray(0, read().length)
      .equals(read()),
  ).toBe(true);
  await ahead.close();
});

const OTHER = (range: string) => ({ headers: { 'content-range': range } });

it.each<[string, Partial<Answer>]>([
  ['all of it', { status: 200, headers: {} }],
  ['a part without saying which', { headers: {} }],
  ['another part', OTHER(`bytes 0-${PART - 1}/${blob.length}`)],
  ['a shorter part', OTHER(`bytes ${3 * PART}-${3 * PART + 5}/${blob.length}`)],
  ['a part of something else', OTHER(`bytes ${3 * PART}-${4 * PART - 1}/7`)],
  [
    'a part with a coding',
    { headers: { 'content-range': `bytes ${3 * PART}-${4 * PART - 1}/${blob.length}`, 'content-encoding': 'gzip' } },
  ],
])('a server that answers with %s is not asked for more, and none of it is handed on', async (_, answer) => {
  const { ahead, requests } = parts();
  const { done, read } = reading(ahead);
  await turns();
  requests[0]?.answer(answer);
  await expect(done).rejects.toMatchObject({ name: 'PartsEnded', refused: true } satisfies Partial<PartsEnded>);
  expect(read()).toHaveLength(0);
  expect(ahead.areComing).toBe(false);
  const asked = requests.length;
  await ahead.close();
  expect(requests).toHaveLength(asked);
  expect(requests.every(({ isAborted }) => isAborted())).toBe(true);
});

it('a server that sends more than it said is one of these, and what was right of it is handed on', async () => {
  const { ahead, requests } = parts();
  const { done, read } = reading(ahead);
  await turns();
  requests[0]?.answer();
  requests[0]?.body.add(blob.subarray(3 * PART, 4 * PART));
  requests[0]?.body.add(Buffer.from('more'));
  requests[0]?.body.end();
  await expect(done).rejects.toMatchObject({ refused: true });
  expect(
    blob
      .subarray(3 * PART)
      .subarray(0, read().length)
      .equals(read()),
  ).toBe(true);
  await ahead.close();
});

it('where a part breaks off, all that came before it is handed on, and nothing behind it', async () => {
  const { ahead, requests, bring } = parts();
  const { done, read } = reading(ahead);
  await turns();
  bring(requests[2]);
  bring(requests[0]);
  await turns();
  requests[1]?.answer();
  requests[1]?.body.add(blob.subarray(4 * PART, 4 * PART + 1000));
  requests[1]?.body.end({ error: new Error('reset') });
  await expect(done).rejects.toMatchObject({ refused: false });
  expect(read().equals(blob.subarray(3 * PART, 4 * PART + 1000))).toBe(true);
  await ahead.close();
});

it('what is closed lets go of all its connections, and gives back what it had', async () => {
  const { ahead, requests, place } = parts();
  await turns();
  await ahead.close();
  expect(requests.every(({ isAborted }) => isAborted())).toBe(true);
  let taken = 0;
  while (new ConnectionShare(place).take()) taken++;
  expect(taken).toBe(3);
});

it('a rest is shared out when one connection takes a second or more for it, and it has some parts', () => {
  expect(partsFrom(600_000, 1_000_000, 1_500_000)).toBeUndefined();
  expect(partsFrom(2_000_000, 1_000_000, 2_900_000)).toBeUndefined();
  expect(partsFrom(600_000, 1_000_000, 6_000_000)).toBeGreaterThan(1_000_000);
  // What is far from its end is shared out in what a connection brings in a second, up to four megabytes.
  expect(partsFrom(600_000, 0, 1e9)).toBe(600_000);
  expect(partsFrom(20_000_000, 0, 1e9)).toBe(4 * 1024 * 1024);
  expect(partsFrom(1000, 0, 1e9)).toBe(PART);
});
