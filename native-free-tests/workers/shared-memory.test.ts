import { describe, expect, it } from 'vitest';
import type { FromWorker } from '#src/workers/jobs.js';
import { SharedMemory } from '#src/workers/shared-memory.js';

function thread() {
  const posted: FromWorker[] = [];
  return { posted, memory: new SharedMemory((message) => posted.push(message)) };
}

describe("a thread's share of memory", () => {
  it('is asked for, waited for, and given back', async () => {
    const { posted, memory } = thread();
    const taking = memory.take(5, new AbortController().signal);
    expect(posted).toEqual([{ type: 'take-memory', bytes: 5, ticket: 1 }]);
    memory.granted(1);
    (await taking)();
    expect(posted.at(-1)).toEqual({ type: 'give-memory' });
  });

  it('is not wanted any more when whoever waits is cancelled, and a late answer counts for nothing', async () => {
    const { posted, memory } = thread();
    const controller = new AbortController();
    const taking = memory.take(5, controller.signal);
    controller.abort();
    await expect(taking).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(posted.at(-1)).toEqual({ type: 'give-memory' });
    let had = false;
    const next = memory.take(7, new AbortController().signal).then(() => {
      had = true;
    });
    memory.granted(1);
    await new Promise(setImmediate);
    expect(had).toBe(false);
    memory.granted(2);
    await next;
  });
});
