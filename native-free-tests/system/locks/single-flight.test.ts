import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { SingleFlight } from '#src/system/locks/single-flight.js';

test('ten callers of one key share one run and its result', async () => {
  const flights = new SingleFlight<number>();
  let runs = 0;
  const results = await Promise.all(
    Array.from({ length: 10 }, () =>
      flights.run('key', async () => {
        runs++;
        await sleep(5);
        return 42;
      }),
    ),
  );
  expect(results).toEqual(Array(10).fill(42));
  expect(runs).toBe(1);
  expect(flights.has('key')).toBe(false);
});

test('all callers get the failure of the run they share, and the next caller starts a new one', async () => {
  const flights = new SingleFlight<number>();
  const failing = [1, 2].map(() => flights.run('key', () => Promise.reject(new Error('down'))));
  for (const call of failing) await expect(call).rejects.toThrow('down');
  expect(await flights.run('key', async () => 1)).toBe(1);
});

test('a caller that gives up is free at once, and the run goes on for the others', async () => {
  const flights = new SingleFlight<string>();
  const abort = new AbortController();
  let cancelled = false;
  const work = async (signal: AbortSignal) => {
    await sleep(30);
    cancelled = signal.aborted;
    return 'done';
  };
  const impatient = flights.run('key', work, abort.signal);
  const patient = flights.run('key', work);
  abort.abort();
  await expect(impatient).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(await patient).toBe('done');
  expect(cancelled).toBe(false);
});

test('the run is cancelled when its last caller has given up, and a new caller does not join it', async () => {
  const flights = new SingleFlight<string>();
  const aborts = [new AbortController(), new AbortController()];
  let cancelled = false;
  const calls = aborts.map(({ signal }) =>
    flights.run(
      'key',
      async (own) => {
        await sleep(20);
        cancelled = own.aborted;
        return 'old';
      },
      signal,
    ),
  );
  for (const abort of aborts) abort.abort();
  for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(await flights.run('key', async () => 'new')).toBe('new');
  await sleep(30);
  expect(cancelled).toBe(true);
});
