import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { CommitBatch } from '#src/layer-store/commit-batch.js';

test('layers that arrive wait for the last one and are committed together, once', async () => {
  const commits: (readonly string[])[] = [];
  const batch = new CommitBatch<string>(3, async (staged) => void commits.push(staged));
  const arrivals = [batch.arrive('a'), batch.arrive('b')];
  await sleep(5);
  expect(commits).toEqual([]);
  await Promise.all([...arrivals, batch.arrive('c')]);
  expect(commits).toEqual([['a', 'b', 'c']]);
});

test('a layer that fails does not keep the others from being committed', async () => {
  const commits: (readonly string[])[] = [];
  const batch = new CommitBatch<string>(2, async (staged) => void commits.push(staged));
  const arrival = batch.arrive('a');
  batch.leave();
  await arrival;
  expect(commits).toEqual([['a']]);
});

test('nothing is committed when every layer has left', async () => {
  let commits = 0;
  const batch = new CommitBatch<string>(1, async () => void commits++);
  batch.leave();
  await sleep(5);
  expect(commits).toBe(0);
});

test('a failed commit is told to every layer in it', async () => {
  const batch = new CommitBatch<string>(2, () => Promise.reject(new Error('disk full')));
  const arrivals = [batch.arrive('a'), batch.arrive('b')];
  for (const arrival of arrivals) await expect(arrival).rejects.toThrow('disk full');
});
