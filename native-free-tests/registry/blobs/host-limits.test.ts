import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { HostLimits } from '#src/registry/blobs/host-limits.js';

const blob = (host: string, connectionsPerHost = 2) => ({
  sources: [{ endpoint: { host } as never, authorization: undefined }],
  connectionsPerHost,
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

/** Layers that are at work until they are told to end. */
function layersAtWork() {
  const limits = new HostLimits();
  const ends: (() => void)[] = [];
  let [now, most] = [0, 0];
  const begin = (limit: number, signal?: AbortSignal) =>
    limits.withBlob(
      blob('a', limit),
      async () => {
        most = Math.max(most, ++now);
        await new Promise<void>((resolve) => ends.push(resolve));
        now--;
      },
      signal,
    );
  return { begin, end: () => ends.shift()?.(), now: () => now, most: () => most };
}

it('pulls with limits of their own begin nothing that one of them forbids, and never forget who is at work', async () => {
  const { begin, end, now, most } = layersAtWork();
  const all = [begin(4), begin(4)];
  // Of the host's two layers none is its own, and it is as many as it allows.
  all.push(begin(2));
  await sleep(1);
  expect(now()).toBe(2);
  end();
  await sleep(1);
  expect(now()).toBe(2);
  all.push(...Array.from({ length: 12 }, () => begin(4)));
  await sleep(1);
  expect(now()).toBe(4);
  for (let left = all.length; left > 0; left--) {
    end();
    await sleep(1);
  }
  await Promise.all(all);
  expect(most()).toBe(4);
});

it('one with a small limit gets its turn, though others with a larger one keep coming', async () => {
  const { begin, end, now } = layersAtWork();
  const all = [begin(3), begin(3), begin(3)];
  let begun = false;
  const small = begin(1).then(() => {
    begun = true;
  });
  for (let times = 0; times < 3; times++) {
    all.push(begin(3));
    await sleep(1);
    end();
  }
  await sleep(1);
  // It began when nobody was at work, and two of those behind it then.
  expect(now()).toBe(3);
  end();
  await small;
  expect(begun).toBe(true);
  for (let left = 3; left > 0; left--) {
    await sleep(1);
    end();
  }
  await Promise.all(all);
});

it('those behind one that gives up do not wait for it any more', async () => {
  const { begin, end, now } = layersAtWork();
  const cancel = new AbortController();
  const first = begin(3);
  const small = begin(1, cancel.signal);
  const behind = begin(3);
  await sleep(1);
  expect(now()).toBe(1);
  cancel.abort();
  await expect(small).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  await sleep(1);
  expect(now()).toBe(2);
  end();
  end();
  await Promise.all([first, behind]);
});
