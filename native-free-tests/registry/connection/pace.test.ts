import { expect, it } from 'vitest';
import { Pace } from '#src/registry/connection/pace.js';

/** A pace over ten seconds, with a clock that goes forward as it is told. */
function bench(minBytesPerSecond: number) {
  let now = 0;
  const pace = new Pace({ stallTimeout: 2500, minBytesPerSecond }, () => now);
  const pass = (seconds: number) => {
    now += seconds * 1000;
  };
  const wait = (seconds: number) => pace.waitFor(Promise.resolve().then(() => pass(seconds)));
  return { pace, pass, wait };
}

it('too little is too little when a whole window has brought it, and not before', async () => {
  const { pace, wait } = bench(100);
  for (let seconds = 1; seconds < 10; seconds++) {
    await wait(1);
    pace.add(1);
  }
  await wait(1);
  expect(() => pace.add(1)).toThrow(expect.objectContaining({ bytes: 10, milliseconds: 10_000, limit: 100 }));
});

it('what comes in one go counts for the whole window, and for that one only', async () => {
  const { pace, wait } = bench(100);
  await wait(1);
  pace.add(1000);
  await wait(9);
  pace.add(0);
  await wait(10);
  expect(() => pace.add(999)).toThrow();
});

it('time in which nobody waited does not count, however long the reader takes', async () => {
  const { pace, pass, wait } = bench(100);
  for (let times = 0; times < 50; times++) {
    await wait(0.1);
    pass(60);
    pace.add(20);
  }
});

it('one that was too slow twice in a row is told apart from one that has done better in between', async () => {
  const { pace, wait } = bench(100);
  const windowWith = async (bytes: number) => {
    await wait(10);
    try {
      pace.add(bytes);
    } catch {
      // What is looked at is the count.
    }
    return pace.failures;
  };
  const counts: number[] = [];
  for (const bytes of [10, 10, 1000, 10]) counts.push(await windowWith(bytes));
  expect(counts).toEqual([1, 2, 0, 1]);
});

it('no least is no limit', async () => {
  const { pace, wait } = bench(0);
  await wait(1000);
  pace.add(0);
});

it('what is read is handed on until it is too slow, and its source is told that nobody reads on', async () => {
  const { pace, pass } = bench(100);
  let closed = false;
  const source = async function* () {
    try {
      for (let pieces = 0; pieces < 10; pieces++) {
        await Promise.resolve();
        pass(4);
        yield Buffer.alloc(100);
      }
    } finally {
      closed = true;
    }
  };
  const read: number[] = [];
  const reading = (async () => {
    for await (const piece of pace.of(source())) read.push(piece.length);
  })();
  await expect(reading).rejects.toMatchObject({ bytes: 300 });
  expect(read).toEqual([100, 100]);
  expect(closed).toBe(true);
});
