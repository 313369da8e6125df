import { expect, test } from 'vitest';
import { openWarmPools } from '#src/warm-pool/index.js';
import { again, expectNothingLeft, otherContainerizer, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { full, KINDS, keeperOf } from './filled-pools.js';

interface Case {
  readonly operation: string;
  readonly points: readonly string[];
  readonly body: string;
  /** Somebody may have it: it is left to him. */
  readonly isHandedOut?: boolean;
}

const CASES: readonly Case[] = [
  { operation: 'the filling of a pool', points: ['pool.recorded', 'pool.made'], body: '' },
  { operation: 'a claim', points: ['pool.taken'], body: 'await pool.get();' },
  { operation: 'a claim', points: ['pool.handedOut'], body: 'await pool.get(); await sleep(5000);', isHandedOut: true },
  { operation: 'a stop', points: ['pool.destroyed'], body: 'await pool.stop(); await sleep(5000);' },
  {
    operation: 'a prune that needs the room',
    points: ['pool.yielded', 'pool.destroyed'],
    body: 'await c.pruneImages([], { keepBytes: 1 });',
  },
];

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox', 'catatonit'], 'a keeper of a pool who is killed', () => {
  // Of what is created its gate tells more: system-tests/survival/pool-crash-points.test.ts.
  for (const kind of ['generic', 'frozen', 'rootfs'] as const) {
    for (const { operation, points, body, isHandedOut = false } of CASES) {
      for (const point of points) {
        const isTaken = point === 'pool.taken' || point === 'pool.yielded';
        for (const next of ['the next keeper', ...(isTaken ? ['who destroys what is abandoned'] : [])]) {
          const what = isHandedOut ? 'what was handed out' : 'nothing';
          test(`at ${point}, during ${operation} of what is ${kind}, leaves ${what} behind ${next}`, async () => {
            const { provisioner: first, root } = await storeWithBusybox();
            await first.close();
            const other = otherContainerizer(root, `${keeperOf(KINDS[kind])} ${body} say('alive');`, {
              crashAt: point,
            });
            expect(await other.done).toEqual([]);

            const { provisioner, containers } = await again(root);
            const pools = await openWarmPools({ provisioner });
            if (next === 'the next keeper') {
              const pool = await pools.keep('work', KINDS[kind]);
              await full(pool);
              await pool.stop({ timeout: 10_000 });
            }
            await pools.destroyAbandoned();
            expect(await provisioner.holdings.list()).toEqual([]);
            const left = await provisioner.containers.list();
            expect(left).toHaveLength(isHandedOut ? 1 : 0);
            for (const { id } of left) {
              if (kind !== 'rootfs') expect((await containers.get(id))?.state).toBe('running');
              await containers.destroy(id, { running: 'kill' });
            }
            // A launch that was half started is undone there.
            await containers.recover();
            await expectNothingLeft(root);
          });
        }
      }
    }
  }
});
