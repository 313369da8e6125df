import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { ProvisionerError } from '#src/base/errors.js';
import { blockersOf, describeBlockers } from '#src/system/locks/lock-blockers.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import type { StoreLockState } from '#src/system/locks/store-lock-state.js';
import { type LockFileInMemory, SharedLock } from './lock-file-in-memory.js';

/** Work that goes on until it is finished from outside. */
function work(log: string[], name: string) {
  let finish = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const run = async () => {
    log.push(name);
    await finished;
    log.push(`${name} done`);
  };
  return { run, finish: () => finish() };
}

/** Longer than any pause between two looks at the lock. */
const settle = () => sleep(40);

function processes(count: number) {
  const shared = new SharedLock();
  const files = Array.from({ length: count }, () => shared.open());
  return { shared, files, locks: files.map((file) => new StoreLock(() => file)) as [StoreLock, StoreLock, StoreLock] };
}

describe('a lock between processes', () => {
  test('is shared by readers of several processes, and of one, and is free when the last of them is done', async () => {
    const { shared, locks } = processes(2);
    const log: string[] = [];
    const readers = ['a', 'b', 'c'].map((name) => work(log, name));
    const reading = readers.map(({ run }, index) => locks[index < 2 ? 0 : 1].withShared(run));
    await settle();
    expect([...log].sort()).toEqual(['a', 'b', 'c']);
    expect(shared.holders.size).toBe(2);
    readers[0]?.finish();
    await settle();
    // The process still has a reader.
    expect(shared.holders.size).toBe(2);
    for (const { finish } of readers) finish();
    await Promise.all(reading);
    expect(shared.isFree).toBe(true);
  });

  test.each([
    ['a reader of another process', 'withShared'],
    ['a writer of another process', 'withExclusive'],
  ] as const)('a writer waits for %s', async (_, holding) => {
    const { shared, locks } = processes(2);
    const log: string[] = [];
    const first = work(log, 'first');
    const held = holding === 'withShared' ? locks[0].withShared(first.run) : locks[0].withExclusive('first', first.run);
    const writing = locks[1].withExclusive('second', () => void log.push('writer'));
    await settle();
    expect(log).toEqual(['first']);
    first.finish();
    await Promise.all([held, writing]);
    expect(log).toEqual(['first', 'first done', 'writer']);
    expect(shared.isFree).toBe(true);
  });

  test('a reader waits for a writer of another process', async () => {
    const { shared, locks } = processes(2);
    const log: string[] = [];
    const writer = work(log, 'writer');
    const writing = locks[0].withExclusive('prune', writer.run);
    await settle();
    const reading = locks[1].withShared(() => void log.push('reader'));
    await settle();
    expect(log).toEqual(['writer']);
    writer.finish();
    await Promise.all([writing, reading]);
    expect(log).toEqual(['writer', 'writer done', 'reader']);
    expect(shared.isFree).toBe(true);
  });

  test('a waiting writer keeps new readers of all processes out, and those that were there finish', async () => {
    const { locks } = processes(3);
    const log: string[] = [];
    const slow = work(log, 'slow reader');
    const holding = locks[0].withShared(slow.run);
    const writing = locks[1].withExclusive('prune', () => void log.push('writer'));
    await settle();
    const late = locks.map((lock, index) => lock.withShared(() => void log.push(`reader ${index}`)));
    await settle();
    expect(log).toEqual(['slow reader']);
    slow.finish();
    await Promise.all([holding, writing, ...late]);
    expect(log.slice(0, 3)).toEqual(['slow reader', 'slow reader done', 'writer']);
    expect(log.slice(3).sort()).toEqual(['reader 0', 'reader 1', 'reader 2']);
  });

  test('a steady stream of overlapping readers of several processes does not starve a writer', async () => {
    const { shared, locks } = processes(3);
    let stop = false;
    let reads = 0;
    const stream = [locks[0], locks[0], locks[2], locks[2], locks[2]].map(async (lock, index) => {
      while (!stop) {
        await lock.withShared(() => sleep(2 + index));
        reads++;
      }
    });
    await settle();
    for (let round = 0; round < 5; round += 1) {
      const before = performance.now();
      await locks[1].withExclusive('prune', () => undefined);
      expect(performance.now() - before).toBeLessThan(500);
    }
    const soFar = reads;
    await settle();
    expect(reads).toBeGreaterThan(soFar);
    stop = true;
    await Promise.all(stream);
    expect(shared.isFree).toBe(true);
  });

  test('readers and writers of four processes in random order never overlap wrongly', async () => {
    const { shared, locks } = processes(4);
    let [readers, writers, wrong, ran] = [0, 0, 0, 0];
    const calls = Array.from({ length: 300 }, async (_, index) => {
      await sleep(Math.random() * 60);
      const lock = locks[index % 4] as StoreLock;
      const cancelled = index % 7 === 0 ? AbortSignal.timeout(Math.ceil(Math.random() * 5)) : undefined;
      const isWriter = index % 10 === 0;
      const body = async () => {
        ran++;
        if (isWriter) writers++;
        else readers++;
        if (writers > 1 || (writers === 1 && readers > 0)) wrong++;
        await sleep(Math.random() * 2);
        if (isWriter) writers--;
        else readers--;
      };
      await (isWriter ? lock.withExclusive('w', body, cancelled) : lock.withShared(body, cancelled)).catch((error) => {
        if (error.code !== 'ERR_ABORTED') throw error;
      });
    });
    await Promise.all(calls);
    expect(wrong).toBe(0);
    expect(ran).toBeGreaterThan(250);
    expect(shared.isFree).toBe(true);
  });

  test('is freed by the end of a process that held it, and its note is believed no more', async () => {
    const { files, locks } = processes(2);
    const log: string[] = [];
    void locks[0].withExclusive('prune', () => new Promise(() => {}));
    await settle();
    const reading = locks[1].withShared(() => void log.push('reader'));
    await settle();
    expect(log).toEqual([]);
    expect(locks[1].state().writer).toMatchObject({ purpose: 'prune' });
    files[0]?.close();
    await reading;
    expect(files[1]?.readNote()).not.toBe('');
    expect(locks[1].state()).toEqual({ holders: [], writer: undefined });
  });

  test('is given back when the work throws, and the error passes through', async () => {
    const { shared, locks } = processes(2);
    const failure = new Error('of the work');
    await expect(locks[0].withExclusive('prune', () => Promise.reject(failure))).rejects.toBe(failure);
    await expect(locks[0].withShared(() => Promise.reject(failure))).rejects.toBe(failure);
    expect(shared.isFree).toBe(true);
    expect(await locks[1].withExclusive('prune', () => 'free')).toBe('free');
  });

  test('is held, and worked with, when no note can be written', async () => {
    const { shared, files, locks } = processes(2);
    for (const file of files) file.noteFails = true;
    const seen = await locks[0].withExclusive('prune', () => locks[1].state());
    expect(seen).toEqual({ holders: [{ pid: 1, kind: 'exclusive', stopped: false }], writer: undefined });
    expect(shared.isFree).toBe(true);
  });
});

describe('a call that is cancelled while it waits for another process', () => {
  test.each([
    ['a reader, for a writer that works', 'withExclusive', 'reader'],
    ['a writer, for another writer to be done', 'withExclusive', 'writer'],
    ['a writer that has announced itself, for readers', 'withShared', 'writer'],
  ] as const)('%s: never runs, and leaves nothing held', async (_, holding, waiting) => {
    const { shared, locks } = processes(3);
    const log: string[] = [];
    const first = work(log, 'first');
    const held = holding === 'withShared' ? locks[0].withShared(first.run) : locks[0].withExclusive('first', first.run);
    await settle();
    const abort = new AbortController();
    const run = () => void log.push('cancelled');
    const cancelled =
      waiting === 'reader'
        ? locks[1].withShared(run, abort.signal)
        : locks[1].withExclusive('second', run, abort.signal);
    await settle();
    // One behind it in its own process, which must not be held up.
    const behind = locks[1].withShared(() => void log.push('behind'));
    abort.abort(new Error('enough'));
    await expect(cancelled).rejects.toMatchObject({
      code: 'ERR_ABORTED',
      cause: expect.objectContaining({ message: 'enough' }),
    });
    if (holding === 'withShared') {
      await behind;
      expect(log).toEqual(['first', 'behind']);
      // The writer that gave up is out of the way of other processes too.
      await locks[2].withShared(() => void log.push('third'));
    }
    first.finish();
    await Promise.all([held, behind]);
    expect(log).not.toContain('cancelled');
    expect(shared.isFree).toBe(true);
  });

  test('does not run when its signal has aborted before, though the lock is free', async () => {
    const { shared, locks } = processes(1);
    const ran: string[] = [];
    const aborted = AbortSignal.abort();
    await expect(locks[0].withShared(() => void ran.push('r'), aborted)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await expect(locks[0].withExclusive('p', () => void ran.push('w'), aborted)).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    expect(ran).toEqual([]);
    expect(shared.isFree).toBe(true);
  });

  test('is not cancelled any more once it runs', async () => {
    const { locks } = processes(1);
    const abort = new AbortController();
    const done = locks[0].withExclusive(
      'p',
      async () => {
        abort.abort();
        await sleep(5);
        return 'done';
      },
      abort.signal,
    );
    expect(await done).toBe('done');
  });
});

describe('a long wait', () => {
  function impatient(shared: SharedLock) {
    const told: { waited: number; state: StoreLockState }[] = [];
    const onLongWait = (waited: number, state: StoreLockState) => void told.push({ waited, state });
    return { told, lock: new StoreLock(() => shared.open(), { onLongWait, longWait: 30 }) };
  }

  test('for a writer is told once, with who it is, what for and since when', async () => {
    const shared = new SharedLock();
    const holder = new StoreLock(() => shared.open());
    const { told, lock } = impatient(shared);
    const writer = work([], 'writer');
    const before = Date.now();
    const writing = holder.withExclusive('prune', writer.run);
    await settle();
    const reading = lock.withShared(() => undefined);
    await expect.poll(() => told.length, { timeout: 10_000 }).toBe(1);
    // Whoever has been told goes on waiting, and is not told again.
    await sleep(100);
    writer.finish();
    await Promise.all([writing, reading]);
    expect(told).toHaveLength(1);
    // A timer may come a fraction of a millisecond early.
    expect(told[0]?.waited).toBeGreaterThanOrEqual(29);
    expect(told[0]?.state).toMatchObject({
      holders: [{ pid: 1, kind: 'exclusive' }],
      writer: { pid: process.pid, purpose: 'prune' },
    });
    expect(told[0]?.state.writer?.since).toBeGreaterThanOrEqual(before);
    // The next wait is another one.
    const again = work([], 'again');
    const second = holder.withExclusive('recover', again.run);
    await settle();
    const readingAgain = lock.withShared(() => undefined);
    await expect.poll(() => told.length, { timeout: 10_000 }).toBe(2);
    again.finish();
    await Promise.all([second, readingAgain]);
    expect(told.map(({ state }) => state.writer?.purpose)).toEqual(['prune', 'recover']);
  });

  test('of a writer for readers is told with the readers', async () => {
    const shared = new SharedLock();
    const holder = new StoreLock(() => shared.open());
    const { told, lock } = impatient(shared);
    const reader = work([], 'reader');
    const reading = holder.withShared(reader.run);
    const writing = lock.withExclusive('prune', () => undefined);
    await expect.poll(() => told.length, { timeout: 10_000 }).toBe(1);
    reader.finish();
    await Promise.all([reading, writing]);
    expect(told).toMatchObject([{ state: { holders: [{ pid: 1, kind: 'shared' }], writer: { purpose: 'prune' } } }]);
  });

  test('of many at the same time is told by one of them', async () => {
    const shared = new SharedLock();
    const holder = new StoreLock(() => shared.open());
    const { told, lock } = impatient(shared);
    const writer = work([], 'writer');
    const writing = holder.withExclusive('prune', writer.run);
    await settle();
    const waiting = Array.from({ length: 20 }, () => lock.withShared(() => undefined));
    waiting.push(lock.withExclusive('recover', () => undefined));
    await expect.poll(() => told.length, { timeout: 10_000 }).toBe(1);
    writer.finish();
    await Promise.all([writing, ...waiting]);
    expect(told).toHaveLength(1);
  });

  test('within one process is told too', async () => {
    const { told, lock } = impatient(new SharedLock());
    const reader = work([], 'reader');
    const reading = lock.withShared(reader.run);
    const writing = lock.withExclusive('prune', () => undefined);
    await expect.poll(() => told.length, { timeout: 10_000 }).toBe(1);
    reader.finish();
    await Promise.all([reading, writing]);
    expect(told).toMatchObject([{ state: { holders: [{ pid: 1, kind: 'shared' }] } }]);
  });

  test('is not told of short ones', async () => {
    const shared = new SharedLock();
    const holder = new StoreLock(() => shared.open());
    const told: number[] = [];
    const lock = new StoreLock(() => shared.open(), { onLongWait: (waited) => void told.push(waited) });
    const writer = work([], 'writer');
    const writing = holder.withExclusive('prune', writer.run);
    await settle();
    const reading = lock.withShared(() => undefined);
    await settle();
    writer.finish();
    await Promise.all([writing, reading]);
    expect(told).toEqual([]);
  });
});

describe('a lock whose file was deleted or replaced', () => {
  const damaged = { code: 'ERR_STORE_DAMAGED', details: { path: '/store/lock' }, hint: expect.any(String) };

  test('lets no writer begin, and is free again', async () => {
    const { shared, locks } = processes(1);
    expect(await locks[0].withExclusive('prune', () => 'worked')).toBe('worked');
    shared.isInPlace = false;
    const log: string[] = [];
    await expect(locks[0].withExclusive('prune', () => void log.push('prune'))).rejects.toMatchObject(damaged);
    expect(log).toEqual([]);
    expect(shared.isFree).toBe(true);
  });

  test('lets no reader begin once a second has gone by', async () => {
    const { shared, locks } = processes(1);
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    try {
      expect(await locks[0].withShared(() => 'worked')).toBe('worked');
      shared.isInPlace = false;
      now = 999;
      expect(await locks[0].withShared(() => 'not looked')).toBe('not looked');
      now = 1000;
      for (const _ of [1, 2]) await expect(locks[0].withShared(() => 'worked')).rejects.toMatchObject(damaged);
      expect(shared.isFree).toBe(true);
      shared.isInPlace = true;
      expect(await locks[0].withShared(() => 'worked')).toBe('worked');
    } finally {
      vi.restoreAllMocks();
    }
  });
});

describe('a wait with a limit', () => {
  const patience = 60;

  test.each([
    ['a reader', 'for a writer of another process', 'withExclusive', 1, (lock: StoreLock) => lock.withShared(() => 1)],
    ['a reader', 'for a writer of this process', 'withExclusive', 0, (lock: StoreLock) => lock.withShared(() => 1)],
    ['a writer', 'for a reader of another process', 'withShared', 1, (l: StoreLock) => l.withExclusive('p', () => 1)],
    ['a writer', 'for a reader of this process', 'withShared', 0, (l: StoreLock) => l.withExclusive('p', () => 1)],
    [
      'a writer',
      'for a writer of another process',
      'withExclusive',
      1,
      (l: StoreLock) => l.withExclusive('p', () => 1),
    ],
  ] as const)('of %s %s ends with ERR_LOCK_TIMEOUT, and leaves the lock as it was', async (_, __, held, at, wait) => {
    const shared = new SharedLock();
    const lock = new StoreLock(() => shared.open(), { timeout: patience });
    const holder = at === 0 ? lock : new StoreLock(() => shared.open());
    const first = work([], 'first');
    const holding = held === 'withShared' ? holder.withShared(first.run) : holder.withExclusive('prune', first.run);
    await settle();
    const started = performance.now();
    const error: unknown = await wait(lock).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'ERR_LOCK_TIMEOUT', details: { stopped: [] } });
    expect((error as ProvisionerError).details['holders']).toHaveLength(1);
    expect(performance.now() - started).toBeGreaterThanOrEqual(patience - 2);
    first.finish();
    await holding;
    expect(shared.isFree).toBe(true);
    expect(await wait(lock)).toBe(1);
  });

  test('counts its turn in the process and the other processes together', async () => {
    const shared = new SharedLock();
    const lock = new StoreLock(() => shared.open(), { timeout: 300 });
    const elsewhere = work([], 'elsewhere');
    const holding = new StoreLock(() => shared.open()).withShared(elsewhere.run);
    const here = lock.withShared(() => sleep(200));
    await settle();
    const started = performance.now();
    await expect(lock.withExclusive('prune', () => 1)).rejects.toMatchObject({ code: 'ERR_LOCK_TIMEOUT' });
    expect(performance.now() - started).toBeLessThan(450);
    elsewhere.finish();
    await Promise.all([holding, here]);
  });

  test('says nothing of work that takes longer than that, and passes its errors on', async () => {
    const lock = new StoreLock(() => new SharedLock().open(), { timeout: 20 });
    expect(await lock.withShared(() => sleep(60, 'done'))).toBe('done');
    expect(await lock.withExclusive('prune', () => sleep(60, 'done'))).toBe('done');
    const fault = new Error('its own');
    await expect(lock.withShared(() => Promise.reject(fault))).rejects.toBe(fault);
  });

  test('ends with ERR_ABORTED when its caller gives up before', async () => {
    const shared = new SharedLock();
    const lock = new StoreLock(() => shared.open(), { timeout: 5000 });
    const first = work([], 'first');
    const holding = new StoreLock(() => shared.open()).withExclusive('prune', first.run);
    await settle();
    const abort = new AbortController();
    const waiting = lock.withShared(() => 1, abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    first.finish();
    await holding;
  });
});

describe('who is named as the one that others wait for', () => {
  const reader = { pid: 12, kind: 'shared', stopped: false } as const;
  const writer = { pid: 13, purpose: 'prune', since: 1, stopped: false } as const;

  test.each([
    ['the readers, not the writer that waits for them', { holders: [reader], writer }, 'process 12'],
    ['a reader that has been stopped', { holders: [{ ...reader, stopped: true }], writer }, 'process 12 (stopped)'],
    [
      'the writer that works, with what it does',
      { holders: [{ pid: 13, kind: 'exclusive', stopped: true }], writer },
      'process 13 (prune, stopped)',
    ],
    ['all of several', { holders: [reader, { ...reader, pid: 14 }], writer: undefined }, 'process 12 and process 14'],
    [
      'the writer whose turn it is',
      { holders: [], writer: { ...writer, stopped: true } },
      'process 13 (prune, stopped)',
    ],
    ['nobody by name when all are hidden', { holders: [], writer: undefined }, 'another process'],
    [
      'nobody by name when all but the own waiting writer are hidden',
      { holders: [], writer: { ...writer, pid: process.pid } },
      'another process',
    ],
    ['this very process', { holders: [{ ...reader, pid: process.pid }], writer }, `this process ${process.pid}`],
  ] as const)('is %s', (_, state, text) => {
    expect(describeBlockers(blockersOf(state))).toBe(text);
  });

  test('stands in the error of a wait that took too long, with what to do about one that is stopped', async () => {
    const { files, locks } = processes(2);
    (files[0] as LockFileInMemory).stopped = true;
    const lock = new StoreLock(() => files[1], { timeout: 10 });
    const first = work([], 'first');
    const holding = locks[0].withShared(first.run);
    await settle();
    await expect(lock.withExclusive('prune', () => 1)).rejects.toMatchObject({
      message: expect.stringContaining('held by process 1 (stopped)'),
      hint: expect.stringContaining('kill -CONT 1'),
      details: { holders: ['1'], stopped: ['1'] },
    });
    first.finish();
    await holding;
  });
});

describe('what is seen of the lock', () => {
  test('is nobody, readers, a waiting writer, a working writer', async () => {
    const { locks } = processes(3);
    const [one, two, three] = locks;
    expect(three.state()).toEqual({ holders: [], writer: undefined });
    const reader = work([], 'reader');
    const reading = one.withShared(reader.run);
    await settle();
    expect(three.state()).toEqual({ holders: [{ pid: 1, kind: 'shared', stopped: false }], writer: undefined });
    const writer = work([], 'writer');
    const writing = two.withExclusive('prune', writer.run);
    await settle();
    expect(three.state()).toMatchObject({ holders: [{ pid: 1, kind: 'shared' }], writer: { purpose: 'prune' } });
    reader.finish();
    await reading;
    await settle();
    for (const lock of locks) {
      expect(lock.state()).toMatchObject({ holders: [{ pid: 2, kind: 'exclusive' }], writer: { purpose: 'prune' } });
    }
    writer.finish();
    await writing;
    expect(three.state()).toEqual({ holders: [], writer: undefined });
  });

  test.each(['', '{"pid":1', 'null', '{"pid":"1","purpose":"prune","since":1}', '[]'])(
    'is no writer by name when the note is %j',
    (note) => {
      const { shared, files, locks } = processes(2);
      files[0]?.tryAnnounceWriter();
      shared.note = note;
      expect(locks[1].state().writer).toBeUndefined();
    },
  );
});

describe('a lock without a file', () => {
  test('keeps order in its own process, and says that it does not span others', async () => {
    const lock = new StoreLock(() => undefined);
    expect(lock.spansProcesses).toBe(false);
    expect(new StoreLock(() => new SharedLock().open()).spansProcesses).toBe(true);
    const log: string[] = [];
    const writer = work(log, 'writer');
    const writing = lock.withExclusive('prune', writer.run);
    const reading = lock.withShared(() => void log.push('reader'));
    await settle();
    expect(log).toEqual(['writer']);
    const own = { pid: process.pid, kind: 'exclusive', stopped: false };
    expect(lock.state()).toEqual({ holders: [own], writer: undefined });
    writer.finish();
    await Promise.all([writing, reading]);
    expect(log).toEqual(['writer', 'writer done', 'reader']);
    lock.close();
  });
});
