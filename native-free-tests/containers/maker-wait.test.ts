import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { MakerWait } from '#src/containers/maker-wait.js';

let now = 0;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

it('a wait for a process that is making a container is told once it is long, and only once', () => {
  const told: unknown[][] = [];
  const wait = new MakerWait('job-1', { onLongWait: (...call) => void told.push(call) });
  for (const at of [0, 4999, 5000, 60_000, 600_000]) {
    now = 1000 + at;
    wait.goOn(41);
  }
  expect(told).toEqual([['job-1', 41, 5000]]);
});

it('it ends when it has been long enough, with whom it was for', () => {
  const wait = new MakerWait('job-1', { timeout: 2000, onLongWait: () => {} });
  now += 1999;
  wait.goOn(41);
  now += 1;
  expect(() => wait.goOn(41)).toThrow(
    expect.objectContaining({
      code: 'ERR_LOCK_TIMEOUT',
      message: expect.stringContaining('process 41 was still making a root filesystem of container job-1'),
      hint: expect.stringContaining('kill -CONT 41'),
      details: { containerId: 'job-1', pid: 41, waited: 2000 },
    }),
  );
});
