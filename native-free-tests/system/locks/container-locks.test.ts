import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ContainerLocks } from '#src/system/locks/container-locks.js';

function recorder(locks: ContainerLocks) {
  const log: string[] = [];
  const hold = (id: string, name = id) => {
    let finish: () => void = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const done = locks.withContainer(id, async () => {
      log.push(name);
      await finished;
    });
    return { finish, done };
  };
  return { log, hold };
}

test('operations on one container come one after the other', async () => {
  const { log, hold } = recorder(new ContainerLocks());
  const [first, second] = [hold('job', 'first'), hold('job', 'second')];
  await sleep(5);
  expect(log).toEqual(['first']);
  first.finish();
  await first.done;
  await sleep(5);
  expect(log).toEqual(['first', 'second']);
  second.finish();
  await second.done;
});

test('operations on different containers, and on siblings in one pod, go on at the same time', async () => {
  const { log, hold } = recorder(new ContainerLocks());
  const all = [hold('job'), hold('pod/a'), hold('pod/b'), hold('other/a')];
  await sleep(5);
  expect(log.toSorted()).toEqual(['job', 'other/a', 'pod/a', 'pod/b']);
  for (const { finish } of all) finish();
  await Promise.all(all.map(({ done }) => done));
});

test('an operation on a parent waits for those on its children, and keeps new ones waiting', async () => {
  const { log, hold } = recorder(new ContainerLocks());
  const child = hold('pod/a/b');
  await sleep(5);
  const parent = hold('pod/a');
  const later = hold('pod/a/c');
  await sleep(5);
  expect(log).toEqual(['pod/a/b']);
  child.finish();
  await sleep(5);
  expect(log).toEqual(['pod/a/b', 'pod/a']);
  parent.finish();
  await sleep(5);
  expect(log).toEqual(['pod/a/b', 'pod/a', 'pod/a/c']);
  later.finish();
  await Promise.all([child.done, parent.done, later.done]);
});

test('a failed operation lets the next one in', async () => {
  const locks = new ContainerLocks();
  await expect(locks.withContainer('a/b', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await locks.withContainer('a', async () => 'next')).toBe('next');
});

test('a caller that gives up while it waits leaves the others their order', async () => {
  const locks = new ContainerLocks();
  const { log, hold } = recorder(locks);
  const abort = new AbortController();
  const first = hold('a/b');
  await sleep(5);
  const cancelled = locks.withContainer('a', async () => void log.push('cancelled'), abort.signal);
  const next = hold('a/c');
  await sleep(5);
  abort.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  await sleep(5);
  expect(log).toEqual(['a/b', 'a/c']);
  first.finish();
  next.finish();
  await Promise.all([first.done, next.done]);
});
