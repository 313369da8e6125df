import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { gather } from '#src/workers/gather.js';

const KIB64 = 65_536;

async function* pieces(count: number, pause = 0, failure?: Error): AsyncGenerator<Buffer, void, undefined> {
  for (let n = 0; n < count; n++) {
    if (pause > 0) await sleep(pause);
    yield Buffer.alloc(KIB64, n);
  }
  if (failure !== undefined) throw failure;
}

it('gives the same bytes in fewer pieces', async () => {
  const gathered: Buffer[] = [];
  for await (const piece of gather(pieces(20))) gathered.push(piece);
  expect(gathered.length).toBeLessThan(10);
  const whole = Buffer.concat(Array.from({ length: 20 }, (_, n) => Buffer.alloc(KIB64, n)));
  expect(Buffer.concat(gathered).equals(whole)).toBe(true);
});

it('does not let bytes wait that come slowly', async () => {
  let count = 0;
  for await (const _ of gather(pieces(4, 60))) count++;
  expect(count).toBeGreaterThan(1);
});

it('gives what came before an error, and then the error', async () => {
  const failure = new Error('cut');
  const gathered = gather(pieces(3, 0, failure));
  expect((await gathered.next()).value).toHaveLength(3 * KIB64);
  await expect(gathered.next()).rejects.toBe(failure);
});

it('lets go of its source when it is left early', async () => {
  let closed = false;
  const source = (async function* (): AsyncGenerator<Buffer, void, undefined> {
    try {
      for (;;) yield Buffer.alloc(KIB64);
    } finally {
      closed = true;
    }
  })();
  for await (const _ of gather(source)) break;
  expect(closed).toBe(true);
});
