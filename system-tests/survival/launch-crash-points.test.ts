import { expect, test, vi } from 'vitest';
import { CRASH_POINTS } from '#src/base/crash-points.js';
import type { ContainerRecovery } from '#src/containerizer/index.js';
import { again, expectNothingLeft, IMAGE, otherContainerizer, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

/** What a process is doing when it is killed, and what is known of the container after the next recovery. */
interface Case {
  readonly operation: string;
  readonly points: readonly string[];
  /** Of a module that has the store's containers as `c`. */
  readonly body: string;
  /** `gone`: it is as if it had never been. A number: it ends, or has ended, with this code. `either`: one of both. */
  readonly after: 'gone' | 'either' | number;
  /** What was launched, and had ended with 7, before. */
  readonly before?: string;
  /** It is there, and when it is started now it ends so, or that fails. */
  readonly starts?: 'well' | 'not';
}

const launch = (script: string, options: object = {}) =>
  `await c.launch('job', '${IMAGE}', ${JSON.stringify({ command: ['sh', '-c', script], ...options })});`;
const create = (script: string) => `await c.create('job', '${IMAGE}', ${JSON.stringify(sh(script))});`;
const start = `await c.start('job');`;
const SOON = 'sleep 0.5; echo whole; exit 7';
const AT_ONCE = 'echo whole; exit 7';
const NOT_YET = [
  'launch.directoryMade',
  'launch.recorded',
  'launch.provisioned',
  'launch.isolated',
  'launch.bundled',
  'launch.monitored',
];

const CASES: readonly Case[] = [
  { operation: 'a launch', points: [...NOT_YET, 'launch.started'], body: launch(SOON), after: 'gone' },
  { operation: 'a launch', points: ['launch.running'], body: launch(SOON), after: 7 },
  {
    operation: 'a launch that leases',
    points: ['launch.leased', 'launch.isolated', 'launch.started'],
    body: launch(SOON, { leases: { cpus: 1 } }),
    after: 'gone',
  },
  {
    operation: 'a launch with a terminal',
    points: [...NOT_YET, 'launch.started'],
    body: launch(SOON, { terminal: { rows: 24, columns: 80 } }),
    after: 'gone',
  },
  {
    operation: 'a launch with a terminal',
    points: ['launch.running'],
    body: launch('stty -onlcr; sleep 0.5; echo whole; exit 7', { terminal: { rows: 24, columns: 80 } }),
    after: 7,
  },
  {
    operation: 'a launch of what ends at once',
    points: ['launch.monitored', 'launch.started'],
    body: launch(AT_ONCE),
    after: 'gone',
  },
  { operation: 'a launch of what ends at once', points: ['launch.running'], body: launch(AT_ONCE), after: 7 },
  {
    operation: 'a launch of what is to be removed',
    points: [...NOT_YET, 'launch.started', 'launch.running'],
    body: launch(SOON, { remove: true }),
    after: 'gone',
  },
  {
    operation: 'a launch of what cannot be started',
    points: ['launch.undone', 'launch.containerDestroyed', 'launch.cleanedUp', 'launch.forgotten'],
    body: `await c.launch('job', '${IMAGE}', { command: ['/nowhere'] });`,
    after: 'gone',
  },
  { operation: 'a create', points: [...NOT_YET, 'launch.started'], body: create(AT_ONCE), after: 'gone' },
  { operation: 'a create', points: ['launch.running'], body: create(AT_ONCE), after: 7, starts: 'well' },
  {
    operation: 'a start of what was created',
    points: ['launch.gateOpened'],
    body: create(SOON) + start,
    after: 7,
  },
  {
    operation: 'a start of what has ended',
    points: [...NOT_YET, 'launch.started'],
    before: AT_ONCE,
    body: start,
    after: 7,
    starts: 'well',
  },
  {
    operation: 'a start of what has ended',
    points: ['launch.running'],
    before: AT_ONCE,
    body: start,
    after: 7,
  },
  {
    operation: 'a start that fails',
    points: ['launch.undone'],
    before: `rm /bin/sh; ${AT_ONCE}`,
    body: start,
    after: 7,
    starts: 'not',
  },
  {
    operation: 'a wait',
    points: ['launch.ended', 'launch.endRecorded'],
    body: `${launch(SOON)} await c.wait('job');`,
    after: 7,
  },
  {
    operation: 'a wait for what is to be removed',
    points: ['launch.ended', 'launch.endRecorded', 'launch.containerDestroyed', 'launch.cleanedUp', 'launch.forgotten'],
    body: `${launch(SOON, { remove: true })} await c.wait('job'); await sleep(5000);`,
    after: 'gone',
  },
  {
    operation: 'a destroy of what has ended',
    points: ['launch.forgotten'],
    body: `${launch(AT_ONCE)} await c.wait('job'); await c.destroy('job');`,
    after: 'gone',
  },
  {
    operation: 'a destroy of what runs',
    points: ['launch.ended', 'launch.endRecorded'],
    body: `${launch('sleep 60')} await c.destroy('job', { running: 'kill' });`,
    after: 'either',
  },
  {
    operation: 'a recovery',
    points: ['launch.recovered'],
    body: `${launch(SOON)} await c.wait('job'); await c.recover();`,
    after: 7,
  },
];

/** Of a fork of what runs: steps after which there is none, those of the store among them, and one after which there is. */
const NO_FORK = [
  ...['launch.directoryMade', 'launch.recorded', 'launch.halted', 'launch.forkMade', 'launch.forkKept'],
  ...['fork.recorded', 'fork.directoriesMade', 'fork.copied', 'fork.mounted'],
];
const FORKED = ['launch.forked'];

const NOTHING: Omit<ContainerRecovery, 'store'> = {
  running: [],
  ended: [],
  lost: [],
  undone: [],
  removed: [],
  swept: [],
  failed: [],
};

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a process that is killed right after a step', () => {
  test('is killed at every step of a launch that has a name', () => {
    const killed = new Set([...CASES.flatMap(({ points }) => points), ...NO_FORK, ...FORKED]);
    const ofLaunches = [...killed].filter((point) => point.startsWith('launch.'));
    expect(ofLaunches.sort()).toEqual(CRASH_POINTS.filter((point) => point.startsWith('launch.')).sort());
  });

  for (const { operation, points, before, body, after, starts } of CASES) {
    for (const point of points) {
      const outcome = typeof after === 'number' ? 'leaves a program whose end is told' : 'leaves nothing';
      test(`${point}, during ${operation}, ${outcome}`, async () => {
        const { provisioner, containers: first, root } = await storeWithBusybox();
        if (before !== undefined) {
          await first.launch('job', IMAGE, sh(before));
          await first.wait('job');
        }
        await provisioner.close();
        const other = otherContainerizer(root, `${body} say('alive');`, { crashAt: point });
        expect(await other.done).toEqual([]);

        const { containers } = await again(root);
        expect(await containers.recover()).toMatchObject({ failed: [] });
        const found = await containers.get('job');
        if (starts === 'not') {
          expect(found?.state).toBe('exited');
          await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
          await containers.destroy('job');
          return expectNothingLeft(root);
        }
        if (starts === 'well') {
          expect(found?.state).toBe(before === undefined ? 'created' : 'exited');
          await containers.start('job');
        }
        if (typeof after === 'number') {
          expect(await containers.wait('job')).toMatchObject({ code: after, reason: 'exited' });
          let printed = '';
          for await (const { bytes } of containers.logs('job')) printed += bytes;
          if (before === undefined) expect(printed).toBe('whole\n');
          // A runtime that was ended in the middle of its work may have said so where its program prints.
          else expect(printed).toMatch(/^whole\n(?:(?!whole).*\n)?(?:whole\n){1,2}$/);
          await containers.destroy('job');
        } else if (after === 'either' && found !== undefined) {
          expect(await containers.wait('job')).toMatchObject({ reason: 'killed', signal: 9 });
          await containers.destroy('job');
        }
        await expectNothingLeft(root);
        expect(await containers.recover()).toMatchObject(NOTHING);
      });
    }
  }

  for (const point of [...NO_FORK, ...FORKED]) {
    const isDone = FORKED.includes(point);
    test(`${point}, during a fork, leaves what was copied running, and ${isDone ? 'a fork that can be started' : 'no fork'}`, async () => {
      const { provisioner, containers: first, root } = await storeWithBusybox();
      await first.launch('prepared', IMAGE, sh('[ -e /made ] && exit 7; echo made > /made; sleep 60'));
      await vi.waitFor(async () => expect(await first.files('prepared').stat('/made')).toMatchObject({ size: 5 }));
      await provisioner.close();
      const other = otherContainerizer(root, `await c.fork('prepared', 'job'); say('alive');`, { crashAt: point });
      expect(await other.done).toEqual([]);

      const { containers } = await again(root);
      expect(await containers.recover()).toMatchObject({ failed: [] });
      expect((await containers.get('prepared'))?.state).toBe('running');
      // What stands still would not answer.
      const { ended } = await containers.exec('prepared', ['cat', '/made']);
      expect(await ended).toMatchObject({ code: 0 });
      if (isDone) {
        await containers.start('job');
        expect(await containers.wait('job')).toMatchObject({ code: 7 });
        await containers.destroy('job');
      }
      expect(await containers.get('job')).toBeUndefined();
      await containers.destroy('prepared', { running: 'kill' });
      await expectNothingLeft(root);
      expect(await containers.recover()).toMatchObject(NOTHING);
    });
  }
});
