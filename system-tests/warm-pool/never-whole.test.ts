import { expect, test, vi } from 'vitest';
import { openWarmPools } from '#src/warm-pool/index.js';
import { expectNothingLeft, IMAGE, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a pool of what can never be had', () => {
  test('is refused where an option of a launch is none', async () => {
    const { provisioner } = await storeWithBusybox();
    const pools = await openWarmPools({ provisioner });
    for (const [launch, option] of [
      [{ comand: ['true'] }, 'launch.comand'],
      [{ command: 'true' }, 'launch.command'],
      [{ ports: [{ hostPort: 80 }] }, 'launch.ports[0].containerPort'],
      [{ signal: new AbortController().signal }, 'launch.signal'],
    ] as const) {
      const refused = pools.keep('work', { image: IMAGE, launch: launch as object, size: 2 });
      await expect(refused).rejects.toMatchObject({ code: 'ERR_BAD_OPTION', message: expect.stringContaining(option) });
    }
    expect(await provisioner.holdings.list()).toEqual([]);
  });

  test('is throttled where each program ends as it waits', async () => {
    const { provisioner, root } = await storeWithBusybox();
    const pools = await openWarmPools({ provisioner });
    const launch = { command: ['sh', '-c', 'sleep 0.1'] };
    const pool = await pools.keep('work', { kind: 'generic', image: IMAGE, launch, size: 2, limits: { errors: 3 } });
    await vi.waitFor(() => expect(pool.status().throttledUntil).toBeDefined(), { timeout: 10_000 });
    expect(pool.takeErrors()).toContainEqual(expect.objectContaining({ code: 'ERR_POOL_BROKEN' }));
    const { created } = pool.status();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(pool.status()).toMatchObject({ created, errorThrottled: 1 });
    await pool.stop({ timeout: 10_000 });
    await expectNothingLeft(root);
  });
});
