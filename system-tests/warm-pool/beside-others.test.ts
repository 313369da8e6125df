import { expect, test, vi } from 'vitest';
import type { Clock } from '#src/base/time/clock.js';
import { machineClock } from '#src/base/time/clock.js';
import { openWarmPools } from '#src/warm-pool/index.js';
import { again, expectNothingLeft, otherContainerizer, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { claim, filledPool, full, KINDS, keeperOf, LOOKED_AT } from './filled-pools.js';

const looked = () => new Promise((resolve) => setTimeout(resolve, LOOKED_AT));

/** A clock of the machine whose quiet timers, such as that of the next look, are over at once when somebody says so. */
function hurriedClock(): Clock & { hurry(): void } {
  const clock = machineClock();
  let calls: (() => void)[] = [];
  return {
    ...clock,
    after(milliseconds, call, isQuiet) {
      if (isQuiet !== true) return clock.after(milliseconds, call, isQuiet);
      calls.push(call);
      return () => {
        calls = calls.filter((one) => one !== call);
      };
    },
    hurry() {
      for (const call of calls.splice(0)) call();
    },
  };
}

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox', 'catatonit'], 'a pool beside others', () => {
  for (const kind of ['generic', 'rootfs'] as const) {
    test(`leaves alone what it has handed out (${kind}) while it looks for what nobody keeps`, async () => {
      const clock = hurriedClock();
      const { provisioner, containers, pool, root } = await filledPool(KINDS[kind], { clock, random: Math.random });
      const handedOut: string[] = [];
      const list = provisioner.holdings.list.bind(provisioner.holdings);
      // It is handed out between the look at the records and what is done with them.
      provisioner.holdings.list = async (wanted) => {
        const found = await list(wanted);
        if (wanted?.kind === 'warm' && handedOut.length === 0) {
          const [claimed] = await claim(pool, 1);
          handedOut.push(claimed?.containerId ?? '');
          const isThere = async () => (await list({ kind: 'warm' })).some(({ name }) => name === handedOut[0]);
          await vi.waitFor(async () => expect(await isThere()).toBe(false), { interval: 1 });
          await new Promise(setImmediate);
        }
        return found;
      };
      for (let n = 0; n < 200; n++) {
        clock.hurry();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      expect(handedOut).toHaveLength(1);
      provisioner.holdings.list = list;
      await pool.stop({ timeout: 10_000 });
      const left = await provisioner.containers.list();
      expect(left.map(({ id }) => id)).toEqual(handedOut);
      await containers.destroy(handedOut[0] ?? '', { running: 'kill' });
      await expectNothingLeft(root);
    });
  }

  test('makes nothing in place of what had to make room, until somebody asks', async () => {
    const { containers, pool, root, waiting } = await filledPool(KINDS.created);
    const before = await waiting();
    const { yielded } = await containers.pruneImages([], { keepBytes: 1 });
    expect([...(yielded ?? [])].sort()).toEqual(before);
    await looked();
    expect(pool).toMatchObject({ size: 0, creators: 0 });
    expect(pool.status()).toMatchObject({ isHeldBack: true, created: 2 });
    await pool.stop();
    await expectNothingLeft(root);
  });

  test('is forgotten, with what was asked of it, by who destroys what is abandoned', async () => {
    const { provisioner: first, root } = await storeWithBusybox();
    await first.close();
    const other = otherContainerizer(root, `${keeperOf(KINDS.generic)} say('full'); await sleep(60_000);`);
    await other.says('full');
    await other.kill();

    const { provisioner, containers } = await again(root);
    expect((await containers.pruneImages([], { keepBytes: 1 })).yielded).toHaveLength(2);
    const pools = await openWarmPools({ provisioner });
    expect(await pools.destroyAbandoned()).toEqual([]);
    expect(await provisioner.holdings.list()).toEqual([]);
    await expectNothingLeft(root);
  });

  test('is left alone by a recovery that knows nothing of it', async () => {
    const { containers, pool, root, waiting } = await filledPool(KINDS.created);
    const [claimed] = await claim(pool, 1);
    await full(pool);
    const before = (await waiting()).filter((id) => id !== claimed?.containerId);
    expect(before).toHaveLength(2);
    await containers.recover({ knownContainerIds: [claimed?.containerId ?? ''] });
    await looked();
    expect(await waiting()).toEqual(expect.arrayContaining(before));
    await pool.stop({ timeout: 10_000 });
    await containers.destroy(claimed?.containerId ?? '', { running: 'kill' });
    await expectNothingLeft(root);
  });
});
