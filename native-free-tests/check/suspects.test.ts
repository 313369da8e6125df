import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { retireUnrecorded } from '#src/check/check-directories.js';
import type { CheckNeeds } from '#src/check/check-needs.js';
import { finding } from '#src/check/findings.js';
import { confirmed } from '#src/check/suspects.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { StoreLock } from '#src/system/locks/store-lock.js';

const fault = finding({ severity: 'damage', code: 'ROOTFS_MISSING', subject: 'job', message: 'is missing' });

function store(): Pick<CheckNeeds, 'storeLock' | 'metadata'> {
  return { storeLock: new StoreLock(() => undefined), metadata: new MemoryMetadataManager() };
}

/** Somebody has the lock shared until `end` is called. */
async function othersAtWork({
  storeLock,
}: Pick<CheckNeeds, 'storeLock'>): Promise<{ end(): void; atWork: Promise<void> }> {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const atWork = storeLock.withShared(() => ended);
  await setImmediate();
  return { end, atWork };
}

describe('what seems wrong in a store', () => {
  it('is looked at once more when whoever was at it has ended, and told when it is wrong then', async () => {
    const needs = store();
    const { end, atWork } = await othersAtWork(needs);
    let isThere = false;
    const asked: boolean[] = [];
    const looked = confirmed(
      [
        async () => {
          asked.push(needs.storeLock.isHeldAlone);
          return isThere ? undefined : fault;
        },
        async () => fault,
      ],
      needs,
      undefined,
    );
    await setImmediate();
    expect(asked).toEqual([]);
    isThere = true;
    end();
    await atWork;
    expect(await looked).toEqual([fault]);
    expect(asked).toEqual([true]);
  });

  it('is looked at in portions, between which others have their turn at the lock', async () => {
    const needs = store();
    const order: string[] = [];
    const suspects = Array.from({ length: 201 }, (_, n) => async () => {
      order.push('look');
      if (n === 0) void needs.storeLock.withShared(() => order.push('other'));
      return fault;
    });
    expect(await confirmed(suspects, needs, undefined)).toHaveLength(201);
    expect(order.indexOf('other')).toBe(100);
  });

  it('takes no lock when there is none of it', async () => {
    const needs = store();
    const { end, atWork } = await othersAtWork(needs);
    expect(await confirmed([], needs, undefined)).toEqual([]);
    end();
    await atWork;
  });

  it('waits no longer than the check is wanted, nor does its repair', async () => {
    const needs = store();
    const { end, atWork } = await othersAtWork(needs);
    const stop = new AbortController();
    const looked = confirmed([async () => fault], needs, stop.signal);
    const retired = retireUnrecorded(`/store/layers/${'ab'.repeat(32)}`, needs as CheckNeeds, stop.signal);
    stop.abort();
    await expect(looked).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await expect(retired).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    end();
    await atWork;
  });
});
