import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { CRASH_POINTS } from '#src/base/crash-points.js';
import type { Containerizer } from '#src/containerizer/index.js';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { again, expectNothingLeft, IMAGE, otherContainerizer, sh, storeWithBusybox } from '../helpers/containers.js';
import { interfacesNamed, rulesWith } from '../helpers/networks.js';
import { describeWith } from '../helpers/requirements.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox', 'network', 'netavark'] as const;

/** Starts and kills. */
const TURNS = WHOLE_RANGE ? 50 : 12;

const options = { ...sh('sleep 60'), network: 'bridge' };
const launch = (id: string, more: object = {}) =>
  `await c.launch('${id}', '${IMAGE}', ${JSON.stringify({ ...options, ...more })});`;
const ports = [{ containerPort: 80 }];
const ready = `
  await openContainerizer({ provisioner: p, readyNetworks: { bridge: 1 } });
  while ((await c.networks.get('bridge'))?.ready !== 1) await sleep(10);`;

const CASES: readonly { readonly operation: string; readonly points: readonly string[]; readonly body: string }[] = [
  {
    operation: 'a launch',
    points: ['recorded', 'addressed', 'namespaceMade', 'connected', 'ready'].map((step) => `network.${step}`),
    body: launch('job', { ports }),
  },
  { operation: 'a launch in a namespace that was ready', points: ['network.claimed'], body: ready + launch('job') },
  {
    operation: 'a destroy',
    points: ['network.disconnected', 'network.namespaceRemoved', 'network.released'],
    body: `${launch('job', { ports })} await c.destroy('job', { running: 'kill' });`,
  },
];

/** Nothing of a store is left once it has been recovered and its containers destroyed, as seen from outside. */
async function expectNoTrace(containers: Containerizer, root: string): Promise<void> {
  for (const { containerId } of await containers.list()) await containers.destroy(containerId, { running: 'kill' });
  const bridges = (await containers.networks.list()).flatMap((network) => network.interface ?? []);
  await expectNothingLeft(root);
  for (const bridge of bridges) expect([...interfacesNamed(bridge), ...rulesWith(bridge)]).toEqual([]);
}

describeWith(NEEDS, 'a process that is killed while it connects containers, or takes them off', () => {
  test('is killed at every step that has a name', () => {
    const killed = CASES.flatMap(({ points }) => points);
    expect(killed.sort()).toEqual(CRASH_POINTS.filter((point) => point.startsWith('network.')).sort());
  });

  for (const { operation, points, body } of CASES) {
    test.each(points)(
      `at %s, during ${operation}, leaves no namespace, address, rule or file after a recovery`,
      async (point) => {
        const { provisioner, root } = await storeWithBusybox();
        await provisioner.close();
        expect(await otherContainerizer(root, `${body} say('alive');`, { crashAt: point }).done).toEqual([]);
        const { containers } = await again(root);
        expect(await containers.recover()).toMatchObject({ failed: [] });
        await expectNoTrace(containers, root);
        expect((await containers.recover()).swept).toEqual([]);
      },
    );
  }

  test('at any moment of many starts leaves nothing either', { timeout: 120_000 }, async () => {
    const { provisioner, root } = await storeWithBusybox();
    await provisioner.close();
    for (let turn = 0; turn < TURNS; turn++) {
      const other = otherContainerizer(
        root,
        `say('begins'); ${launch(`job-${turn}`, turn % 2 === 0 ? { ports } : {})}`,
      );
      await other.says('begins');
      await sleep(((turn * 37) % 100) * 4);
      await other.kill();
    }
    const later = await again(root);
    await later.containers.recover();
    for (const one of await later.containers.list()) expect(['running', 'exited']).toContain(one.state);
    await expectNoTrace(later.containers, root);
  });
});
