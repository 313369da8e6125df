import { expect, test } from 'vitest';
import { CRASH_POINTS } from '#src/base/crash-points.js';
import { openWarmPools } from '#src/warm-pool/index.js';
import { again, expectNothingLeft, IMAGE, otherContainerizer, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

const SPEC = { image: IMAGE, launch: sh('echo whole; exit 7'), size: 2 };
const OPEN = `
  const { openWarmPools } = await import('${new URL('../../dist/warm-pool.js', import.meta.url).href}');
  const pools = await openWarmPools({ provisioner: p });
  const pool = await pools.keep('work', ${JSON.stringify(SPEC)});
  const full = async () => { while (pool.size < 2) await sleep(5); };
`;

interface Case {
  readonly operation: string;
  readonly points: readonly string[];
  /** Of a module that has the store, and the pool `work`. */
  readonly body: string;
  /** What was handed out runs, or has run, once. */
  readonly isHandedOut?: boolean;
}

const CASES: readonly Case[] = [
  { operation: 'the beginning of a pool', points: ['pool.begun', 'pool.recorded', 'pool.made'], body: 'await full();' },
  { operation: 'a claim', points: ['pool.taken'], body: 'await full(); await pool.get();' },
  {
    operation: 'a claim',
    points: ['launch.gateOpened', 'pool.handedOut'],
    body: 'await full(); await pool.get(); await sleep(5000);',
    isHandedOut: true,
  },
  { operation: 'a stop', points: ['pool.destroyed'], body: 'await full(); await pool.stop(); await sleep(5000);' },
  {
    operation: 'a prune that needs the room',
    points: ['pool.yielded'],
    body: 'await full(); await c.pruneImages([], { keepBytes: 1 });',
  },
];

describeWith(
  ['root', 'overlay', 'cgroups', 'crun', 'busybox'],
  'a process with a warm pool that is killed right after a step',
  () => {
    test('is killed at every step of a pool that has a name', () => {
      const killed = CASES.flatMap(({ points }) => points).filter((point) => point.startsWith('pool.'));
      expect([...new Set(killed)].sort()).toEqual(CRASH_POINTS.filter((point) => point.startsWith('pool.')).sort());
    });

    for (const { operation, points, body, isHandedOut = false } of CASES) {
      for (const point of points) {
        test(`${point}, during ${operation}, leaves what the next one takes over or does away with`, async () => {
          const { provisioner: first, root } = await storeWithBusybox();
          await first.close();
          const other = otherContainerizer(root, `${OPEN} ${body} say('alive');`, { crashAt: point });
          expect(await other.done).toEqual([]);

          const { provisioner, containers } = await again(root);
          expect(await containers.recover({ knownContainerIds: [] })).toMatchObject({ failed: [] });
          const pools = await openWarmPools({ provisioner });
          const pool = await pools.keep('work', SPEC);
          const waiting = new Set<string>();
          for (let n = 0; n < 4; n++) {
            const claimed = await pool.get({ timeout: 20_000, attach: true });
            expect(claimed).not.toBeNull();
            const { containerId = '', launch } = claimed ?? {};
            expect(waiting.has(containerId)).toBe(false);
            waiting.add(containerId);
            let printed = '';
            for await (const { bytes } of launch?.output ?? []) printed += bytes;
            expect(printed).toBe('whole\n');
            expect(await containers.wait(containerId)).toMatchObject({ code: 7 });
            await containers.destroy(containerId);
          }
          await pool.stop({ timeout: 20_000 });
          const left = await containers.list();
          expect(left).toHaveLength(isHandedOut ? 1 : 0);
          for (const { containerId } of left) {
            expect(waiting.has(containerId)).toBe(false);
            expect(await containers.wait(containerId)).toMatchObject({ code: 7 });
            await containers.destroy(containerId);
          }
          expect(await provisioner.holdings.list()).toEqual([]);
          await expectNothingLeft(root);
        });
      }
    }
  },
);
