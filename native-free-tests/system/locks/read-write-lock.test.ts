import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ReadWriteLock } from '#src/system/locks/read-write-lock.js';

/** A piece of work that ends when told to, and says that it began. */
function work(log: string[], name: string) {
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  return {
    finish,
    run: async () => {
      log.push(name);
      await finished;
      log.push(`${name} done`);
    },
  };
}

const settle = () => sleep(5);

test('readers work at the same time', async () => {
  const lock = new ReadWriteLock();
  const log: string[] = [];
  const [a, b] = [work(log, 'a'), work(log, 'b')];
  const both = [lock.withShared(a.run), lock.withShared(b.run)];
  await settle();
  expect(log).toEqual(['a', 'b']);
  a.finish();
  b.finish();
  await Promise.all(both);
});

test('a writer waits for the readers before it and works alone', async () => {
  const lock = new ReadWriteLock();
  const log: string[] = [];
  const [reader, writer] = [work(log, 'reader'), work(log, 'writer')];
  const reading = lock.withShared(reader.run);
  const writing = lock.withExclusive(writer.run);
  await settle();
  expect(log).toEqual(['reader']);
  reader.finish();
  await reading;
  await settle();
  expect(log).toEqual(['reader', 'reader done', 'writer']);
  writer.finish();
  await writing;
});

test('a reader that comes after a waiting writer goes after it, so a steady stream of readers does not starve the writer', async () => {
  const lock = new ReadWriteLock();
  const log: string[] = [];
  let stop = false;
  const stream = Array.from({ length: 5 }, async (_, index) => {
    while (!stop) await lock.withShared(() => sleep(1 + index));
  });
  await settle();
  await lock.withExclusive(() => {
    log.push('writer');
  });
  stop = true;
  await Promise.all(stream);
  expect(log).toEqual(['writer']);
});

test('waiting writers and readers are served first come first served', async () => {
  const lock = new ReadWriteLock();
  const log: string[] = [];
  const first = work(log, 'writer 1');
  const queue = [
    lock.withExclusive(first.run),
    lock.withShared(() => void log.push('reader 1')),
    lock.withExclusive(() => void log.push('writer 2')),
    lock.withShared(() => void log.push('reader 2')),
  ];
  await settle();
  first.finish();
  await Promise.all(queue);
  expect(log).toEqual(['writer 1', 'writer 1 done', 'reader 1', 'writer 2', 'reader 2']);
});

test('a writer that gives up while it waits for readers lets the readers behind it in at once', async () => {
  const lock = new ReadWriteLock();
  const log: string[] = [];
  const slow = work(log, 'slow reader');
  const abort = new AbortController();
  const reading = lock.withShared(slow.run);
  const writing = lock.withExclusive(() => void log.push('writer'), abort.signal);
  const behind = lock.withShared(() => void log.push('reader behind'));
  await settle();
  expect(log).toEqual(['slow reader']);
  abort.abort();
  await expect(writing).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  await behind;
  expect(log).toEqual(['slow reader', 'reader behind']);
  slow.finish();
  await reading;
});

test.each(['withShared', 'withExclusive'] as const)(
  '%s that is cancelled in the queue never runs and holds nobody up',
  async (method) => {
    const lock = new ReadWriteLock();
    const log: string[] = [];
    const first = work(log, 'first');
    const abort = new AbortController();
    const holding = lock.withExclusive(first.run);
    const cancelled = lock[method](() => void log.push('cancelled'), abort.signal);
    const next = lock.withExclusive(() => void log.push('next'));
    await settle();
    abort.abort();
    await expect(cancelled).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    first.finish();
    await Promise.all([holding, next]);
    expect(log).toEqual(['first', 'first done', 'next']);
    expect(lock.isIdle).toBe(true);
  },
);

test('a call whose signal has aborted already does not run', async () => {
  const lock = new ReadWriteLock();
  await expect(lock.withShared(() => 1, AbortSignal.abort())).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(lock.isIdle).toBe(true);
});

test('work that throws gives the lock back and its error passes through', async () => {
  const lock = new ReadWriteLock();
  const failure = new Error('of the work');
  await expect(lock.withExclusive(() => Promise.reject(failure))).rejects.toBe(failure);
  await expect(lock.withShared(() => Promise.reject(failure))).rejects.toBe(failure);
  expect(await lock.withExclusive(() => 'free')).toBe('free');
});

test('a thousand readers and writers in random order never overlap wrongly', async () => {
  const lock = new ReadWriteLock();
  let readers = 0;
  let writers = 0;
  let wrong = 0;
  const calls = Array.from({ length: 1000 }, async (_, index) => {
    await sleep(Math.random() * 20);
    if (index % 5 === 0) {
      await lock.withExclusive(async () => {
        writers++;
        if (writers !== 1 || readers !== 0) wrong++;
        await sleep(0);
        writers--;
      });
    } else {
      await lock.withShared(async () => {
        readers++;
        if (writers !== 0) wrong++;
        await sleep(0);
        readers--;
      });
    }
  });
  await Promise.all(calls);
  expect(wrong).toBe(0);
  expect(lock.isIdle).toBe(true);
});
