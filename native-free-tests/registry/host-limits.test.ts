import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { HostLimits } from '#src/registry/host-limits.js';

const blob = (host: string) => ({
  sources: [{ endpoint: { host } as never, authorization: undefined }],
  connectionsPerHost: 2,
});

it('lets so many at one host at a time, and does not hold up those at another', async () => {
  const limits = new HostLimits();
  let [now, most] = [0, 0];
  const work = async () => {
    most = Math.max(most, ++now);
    await sleep(10);
    now--;
  };
  const all = Array.from({ length: 6 }, () => limits.withBlob(blob('a'), work, undefined));
  await limits.withBlob(blob('b'), async () => undefined, undefined);
  expect(now).toBe(2);
  await Promise.all(all);
  expect(most).toBe(2);
});

it('a caller that gives up while it waits is free at once, and its turn goes to the next', async () => {
  const limits = new HostLimits();
  const cancel = new AbortController();
  const hold = [0, 1].map(() => limits.withBlob(blob('a'), () => sleep(50), undefined));
  const gone = limits.withBlob(blob('a'), async () => 'never', cancel.signal);
  const next = limits.withBlob(blob('a'), async () => 'next', undefined);
  cancel.abort();
  await expect(gone).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(await next).toBe('next');
  await Promise.all(hold);
});

it('a turn ends with its work, also when that fails', async () => {
  const limits = new HostLimits();
  for (let times = 0; times < 5; times++) {
    await expect(limits.withBlob(blob('a'), () => Promise.reject(new Error('x')), undefined)).rejects.toThrow('x');
  }
  expect(await limits.withBlob(blob('a'), async () => 'well', undefined)).toBe('well');
});
