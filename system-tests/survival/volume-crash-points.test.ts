import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CRASH_POINTS } from '#src/base/crash-points.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { again, otherContainerizer, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { pullImages } from '../helpers/test-store.js';

/** What a process is doing when it is killed. */
interface Case {
  readonly operation: string;
  readonly points: readonly string[];
  /** Of a module that has the store as `p`, and its containers as `c`. */
  readonly body: string;
  /** Of a module too: done, by a process that ends well, before. */
  readonly before?: string;
  /** Whether what was filled before, and then changed, is gone; else it is there, untouched. */
  readonly isGone?: boolean;
}

const FILES = Array.from({ length: 50 }, (_, index) => `f${index}`);
const launch = (id: string, script: string, volume = `source: 'data', `) =>
  `await c.launch('${id}', 'app:1', { command: ['sh', '-c', ${JSON.stringify(script)}], mounts: [{ type: 'volume', ${volume}target: '/data' }] });
   await c.wait('${id}');`;
const FILLED = `${launch('old', 'echo changed >/data/f0')} await c.destroy('old');`;
const FILL = ['volume.claimed', 'volume.copied', 'volume.synced', 'volume.filled', 'volume.settled'];

const CASES: readonly Case[] = [
  {
    operation: 'the making of one',
    points: ['volume.recorded', 'volume.directoryMade'],
    body: `await p.volumes.create('data');`,
  },
  { operation: 'a launch that makes and fills one', points: ['volume.used', ...FILL], body: launch('job', 'true') },
  {
    operation: 'a launch that fills one that was made',
    points: ['volume.used', ...FILL],
    before: `await p.volumes.create('data');`,
    body: launch('job', 'true'),
  },
  {
    operation: 'a launch that fills one without a name',
    points: ['volume.copied', 'volume.synced', 'volume.filled'],
    body: launch('job', 'true', ''),
  },
  {
    operation: 'the removal of one',
    points: ['volume.removing', 'volume.retired', 'volume.forgotten'],
    before: FILLED,
    body: `await p.volumes.remove('data');`,
    isGone: true,
  },
];

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a process that is killed at a volume', () => {
  test('is killed at every step that has a name', () => {
    const killed = new Set(CASES.flatMap(({ points }) => points));
    expect([...killed].sort()).toEqual(CRASH_POINTS.filter((point) => point.startsWith('volume.')).sort());
  });

  const cases = CASES.flatMap(({ points, ...rest }) => points.map((point) => ({ ...rest, point })));
  // With a recovery in between, and without: whoever comes by next does what is to be done.
  const all = cases.flatMap((one) => [true, false].map((recovers) => ({ ...one, recovers })));
  for (const { operation, point, body, before, isGone = false, recovers } of all) {
    const next = recovers ? 'recovery, and then the next launch,' : 'next launch';
    test(`${point}, during ${operation}: the ${next} has it whole`, async () => {
      const { provisioner, root } = await storeWithBusybox();
      const applets = ['sh', 'ls', 'cat', 'echo'].map((name) => ({
        ...{ path: `bin/${name}`, type: 'symlink' as const, target: 'busybox' },
      }));
      const image = buildImage(
        [
          buildLayer([
            { path: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
            ...applets,
            { path: 'data/', mode: 0o710 },
            ...FILES.map((name) => ({ path: `data/${name}`, content: `${name}\n` })),
          ]),
        ],
        { config: { Env: ['PATH=/bin'], Cmd: ['true'] } },
      );
      await pullImages(provisioner, { 'app:1': image });
      await provisioner.close();
      if (before !== undefined) expect(await otherContainerizer(root, `${before} say('done');`).done).toEqual(['done']);
      expect(await otherContainerizer(root, `${body} say('alive');`, { crashAt: point }).done).toEqual([]);

      const { provisioner: p, containers } = await again(root);
      if (recovers) {
        expect(await containers.recover()).toMatchObject({ failed: [], store: { failed: [] } });
        expect((await p.volumes.list()).filter(({ state }) => state === 'removing')).toEqual([]);
      }
      expect((await p.store.check()).findings.filter(({ severity }) => severity !== 'note')).toEqual([]);
      const mounts = [{ type: 'volume', source: 'data', target: '/data' }] as const;
      await containers.launch('next', 'app:1', { command: ['sh', '-c', 'ls /data; cat /data/f0'], mounts });
      await containers.wait('next');
      let text = '';
      for await (const { bytes } of containers.logs('next')) text += bytes;
      const whole = (first: string) => `${[...FILES].sort().join('\n')}\n${first}\n`;
      const expected = before === FILLED && !isGone ? 'changed' : 'f0';
      expect(text).toBe(whole(expected));

      await containers.destroy('next');
      await containers.recover({ knownContainerIds: [] });
      await p.store.swept();
      expect((await p.volumes.list()).map(({ name, state, containers: users }) => [name, state, users])).toEqual([
        ['data', 'ready', []],
      ]);
      for (const name of ['staging', 'gc', 'containers', 'launches']) expect(readdirSync(join(root, name))).toEqual([]);
      expect(readdirSync(join(root, 'volumes'))).toEqual(['data']);
      expect((await p.store.check()).findings).toEqual([]);
    });
  }
});
