import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { Containerizer, Health, HealthSpec } from '#src/containerizer/index.js';
import { busyboxImage } from '../../fixtures/busybox-image.mjs';
import {
  again,
  expectNothingLeft,
  IMAGE,
  otherContainerizer,
  processesOf,
  storeWithBusybox,
} from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { pullImages } from '../helpers/test-store.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups'] as const;
const RUNTIMES = ['crun', 'runc'] as const;
const FOREVER = { command: ['sleep', '1000'] };
const check = (script: string, rest: HealthSpec = {}): { readonly health: HealthSpec } => ({
  health: { command: ['sh', '-c', script], interval: 50, retries: 2, ...rest },
});
const SOON = { timeout: 15_000, interval: 20 };

async function healthOf(containers: Containerizer, id = 'job'): Promise<Health | undefined> {
  return (await containers.get(id))?.health;
}

/** What runs in containers of a store, by their command lines. */
function commandsIn(root: string): string[] {
  return processesOf(root).inContainers.map(commandOf);
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/** Once there are more results than five, their number says nothing: the newest tells whether there was another one. */
const newest = async (containers: Containerizer) => (await healthOf(containers))?.results.at(-1)?.startedAt ?? 0;

describeWith(NEEDS, 'health', () => {
  test.each(RUNTIMES)(
    'is found out again and again, told to all, and is an event when it changes, with %s',
    async (runtime) => {
      const { containers, root } = await storeWithBusybox({ runtime });
      const other = await again(root);
      const launched = { ...FOREVER, env: { ANSWER: '42' }, workingDir: '/tmp', user: 'alice' };
      await containers.launch('job', IMAGE, {
        ...launched,
        ...check('echo $(id -un) $PWD $ANSWER; test -e /tmp/ready'),
      });
      expect(await healthOf(other.containers)).toMatchObject({ status: 'starting' });
      expect(await other.containers.waitUntil('job', 'unhealthy')).toMatchObject({
        condition: 'unhealthy',
        launch: {
          state: 'running',
          health: {
            results: expect.arrayContaining([expect.objectContaining({ code: 1, output: 'alice /tmp 42\n' })]),
          },
        },
      });
      await (await containers.exec('job', ['touch', '/tmp/ready'])).ended;
      await other.containers.waitUntil('job', ['healthy', 'exited']);
      await (await containers.exec('job', ['rm', '/tmp/ready'])).ended;
      await containers.waitUntil('job', 'unhealthy');
      const told: unknown[] = [];
      for await (const { kind, details } of other.containers.events()) {
        if (kind === 'health') told.push(details);
        if (kind.startsWith('exec')) expect(details).not.toMatchObject({ program: 'sh' });
      }
      expect(told).toEqual([
        { status: 'unhealthy', failingStreak: 2 },
        { status: 'healthy', failingStreak: 0 },
        { status: 'unhealthy', failingStreak: 2 },
      ]);
      await containers.destroy('job', { running: 'kill' });
      await expectNothingLeft(root);
    },
  );

  test('is checked as the image says, unless the caller says otherwise, and begins anew with each start', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const Healthcheck = { Test: ['CMD-SHELL', 'test -e /ready'], Interval: 5e7, Retries: 1 };
    const image = busyboxImage({ Healthcheck });
    await pullImages(provisioner, { 'checked:1': image });
    await containers.launch('job', 'checked:1', FOREVER);
    await containers.launch('no', 'checked:1', { ...FOREVER, health: false });
    await containers.waitUntil('job', 'unhealthy');
    await expect(containers.waitUntil('no', 'healthy')).rejects.toMatchObject({ code: 'ERR_NO_HEALTH_CHECK' });
    await (await containers.exec('job', ['touch', '/ready'])).ended;
    await containers.waitUntil('job', 'healthy');
    await containers.restart('job', { grace: 0 });
    expect((await healthOf(containers))?.results.length).toBeLessThan(3);
    await containers.waitUntil('job', 'healthy');
  });

  test.each(RUNTIMES)('is bad where the command is not there, and says so, with %s', async (runtime) => {
    const { containers } = await storeWithBusybox({ runtime });
    await containers.launch('job', IMAGE, { ...FOREVER, health: { command: ['/nowhere'], interval: 50, retries: 1 } });
    const { launch } = await containers.waitUntil('job', 'unhealthy');
    expect(launch.health?.results[0]).toMatchObject({
      code: 127,
      reason: 'failed',
      output: expect.stringContaining('/nowhere'),
    });
  });

  test.each(RUNTIMES)('is bad where the command hangs, of which nothing is left, with %s', async (runtime) => {
    const { containers, root } = await storeWithBusybox({ runtime });
    const hangs = 'sleep 777 & (env -i sh -c "sleep 778; :" &) ; exec sleep 779';
    const health = check(hangs, { timeout: 500, retries: 1, interval: 50 });
    await containers.launch('job', IMAGE, { ...FOREVER, ...health });
    const started = () => processesOf(root).inContainers.filter((pid) => /^sleep 77[789]$/.test(commandOf(pid)));
    await vi.waitFor(() => expect(started()).toHaveLength(3), SOON);
    const ofFirst = started();
    const { launch } = await containers.waitUntil('job', 'unhealthy');
    expect(launch.health?.results).toEqual([expect.objectContaining({ reason: 'time-limit' })]);
    expect(launch.health?.results[0]?.code).toBeUndefined();
    // The next one may have begun by now.
    await vi.waitFor(() => expect(started().filter((pid) => ofFirst.includes(pid))).toEqual([]), SOON);
    expect(commandsIn(root)).toContain('sleep 1000');
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('keeps the first 4 KiB of a flood, and is found out all the same', async () => {
    const { containers } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...FOREVER, ...check('yes | head -c 4000000') });
    const { launch } = await containers.waitUntil('job', 'healthy');
    expect(launch.health?.results[0]?.output).toBe('y\n'.repeat(2048));
  });

  test.each(RUNTIMES)(
    'is not looked at while the container is paused, nor is it worse for that, with %s',
    async (runtime) => {
      const { containers } = await storeWithBusybox({ runtime });
      await containers.launch('job', IMAGE, {
        ...FOREVER,
        ...check('sleep 0.3; exit 0', { timeout: 1500, retries: 1 }),
      });
      await containers.waitUntil('job', 'healthy');
      // In the middle of a check, for longer than it may take.
      await containers.pause('job');
      const before = await newest(containers);
      await sleep(2500);
      expect(await newest(containers)).toBe(before);
      expect(await healthOf(containers)).toMatchObject({ status: 'healthy', failingStreak: 0 });
      await containers.resume('job');
      await vi.waitFor(async () => expect(await newest(containers)).toBeGreaterThan(before), SOON);
      const health = await healthOf(containers);
      expect(health).toMatchObject({ status: 'healthy', failingStreak: 0 });
      expect(health?.results.map(({ code }) => code)).toEqual(health?.results.map(() => 0));
    },
  );

  test.each(['kill', 'stop'] as const)('that is bad ends the container where %s is asked for', async (onFailure) => {
    const { containers } = await storeWithBusybox();
    const command = ['sh', '-c', 'trap "exit 5" TERM; while :; do sleep 0.1; done'];
    await containers.launch('job', IMAGE, { command, ...check('false', { onFailure }) });
    expect(await containers.wait('job')).toMatchObject(onFailure === 'kill' ? { signal: 9 } : { code: 5 });
    const { health } = (await containers.get('job')) ?? {};
    expect(health).toMatchObject({ status: 'unhealthy', failingStreak: 2 });
    await containers.start('job');
    expect(await containers.waitUntil('job', ['exited', 'unhealthy'])).toMatchObject({ condition: 'unhealthy' });
  });

  test('keeps no container from being stopped and destroyed in the middle of a check', async () => {
    const { containers, root } = await storeWithBusybox();
    for (const id of ['stopped', 'destroyed', 'ended']) {
      const command = id === 'ended' ? ['sleep', '1'] : ['sh', '-c', 'trap exit TERM; while :; do sleep 0.1; done'];
      await containers.launch(id, IMAGE, { command, ...check('sleep 555') });
    }
    await vi.waitFor(() => expect(commandsIn(root).filter((one) => one === 'sleep 555')).toHaveLength(3), SOON);
    const begun = performance.now();
    await containers.destroy('destroyed', { running: 'kill' });
    await containers.stop('stopped');
    await containers.wait('ended');
    expect(performance.now() - begun).toBeLessThan(5000);
    for (const id of ['stopped', 'ended']) await containers.destroy(id);
    await expectNothingLeft(root);
  });

  test('is told to be out of reach when the container has ended, or is destroyed, before', async () => {
    const { containers } = await storeWithBusybox();
    await containers.launch('ends', IMAGE, {
      command: ['sh', '-c', 'sleep 0.3; exit 3'],
      ...check('false', { retries: 99 }),
    });
    await expect(containers.waitUntil('ends', 'healthy')).rejects.toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
      message: expect.stringContaining('exited (3)'),
    });
    expect(await containers.waitUntil('ends', ['healthy', 'exited'])).toMatchObject({ condition: 'exited' });
    await containers.launch('goes', IMAGE, { ...FOREVER, ...check('false') });
    const waiting = containers.waitUntil('goes', 'healthy');
    const [outcome] = await Promise.allSettled([waiting, containers.destroy('goes', { running: 'kill' })]);
    expect(outcome).toMatchObject({ reason: { code: 'ERR_CONTAINER_NOT_RUNNING' } });
    await expect(containers.waitUntil('nowhere', 'healthy')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
  });

  test('is told to who waits as it is now, where nobody has checked for long', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...FOREVER, ...check('! test -e /sick', { interval: 500, retries: 1 }) });
    await containers.waitUntil('job', 'healthy');
    await (await containers.exec('job', ['touch', '/sick'])).ended;
    await provisioner.close();
    await sleep(2000);
    const { containers: later } = await again(root);
    expect(await healthOf(later)).toMatchObject({ status: 'healthy' });
    expect(await later.waitUntil('job', ['healthy', 'unhealthy'])).toMatchObject({ condition: 'unhealthy' });
  });

  test('is waited for no longer than the signal says, also of what is paused', async () => {
    const { containers } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...FOREVER, ...check('false') });
    await containers.pause('job');
    const waiting = containers.waitUntil('job', 'healthy', { signal: AbortSignal.timeout(300) });
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await expect(containers.waitUntil('job', 'healthy', { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
  });

  test('is found out once the program is let go, of what was created', async () => {
    const { containers } = await storeWithBusybox();
    await containers.create('job', IMAGE, { ...FOREVER, ...check('true') });
    await sleep(300);
    expect(await healthOf(containers)).toEqual({ status: 'starting', failingStreak: 0, results: [] });
    await containers.start('job');
    await containers.waitUntil('job', 'healthy');
  });
});

describeWith(NEEDS, 'checks of health', () => {
  test('are made by one process at a time, and by another one when that is killed', async () => {
    const { root, provisioner } = await storeWithBusybox();
    await provisioner.close();
    const first = otherContainerizer(
      root,
      `await c.launch('job', '${IMAGE}', ${JSON.stringify({ ...FOREVER, ...check('echo x >>/n; sleep 0.2') })});
       say('launched'); await sleep(60_000);`,
    );
    await first.says('launched');
    const second = await again(root);
    await second.containers.recover();
    const third = await again(root, { owner: 'somebody else' });
    const waiting = third.containers.wait('job');
    waiting.catch(() => undefined);
    await sleep(2000);
    // Each takes a fifth of a second: of two who check there would be two at a time.
    const atOnce: number[] = [];
    for (let looks = 0; looks < 30; looks++) {
      atOnce.push(commandsIn(root).filter((one) => one === 'sleep 0.2').length);
      await sleep(20);
    }
    expect(Math.max(...atOnce)).toBe(1);
    await first.kill();
    const before = await newest(second.containers);
    await vi.waitFor(async () => expect(await newest(second.containers)).toBeGreaterThan(before), SOON);
    await second.provisioner.close();
    const then = await newest(third.containers);
    await vi.waitFor(async () => expect(await newest(third.containers)).toBeGreaterThan(then), SOON);
    expect(await healthOf(third.containers)).toMatchObject({ status: 'healthy' });
  });

  test('go on with what another process, which does not stay, has started again', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...FOREVER, ...check('true') });
    await containers.waitUntil('job', 'healthy');
    const other = otherContainerizer(root, `await c.restart('job', { grace: 0 }); await p.close();`);
    await other.done;
    await vi.waitFor(async () => expect(await healthOf(containers)).toMatchObject({ status: 'healthy' }), SOON);
    expect((await containers.get('job'))?.state).toBe('running');
  });

  test('that hang when whoever made them is killed are ended by whoever goes on', async () => {
    const { root, provisioner } = await storeWithBusybox();
    await provisioner.close();
    const first = otherContainerizer(
      root,
      `await c.launch('job', '${IMAGE}', ${JSON.stringify({ ...FOREVER, ...check('sleep 666; sleep 667', { timeout: 60_000 }) })});
       say('launched'); await sleep(60_000);`,
    );
    await first.says('launched');
    await vi.waitFor(() => expect(commandsIn(root)).toContain('sleep 666'), SOON);
    const [pid] = processesOf(root).inContainers.filter((one) => commandOf(one) === 'sleep 666');
    await first.kill();
    expect(commandsIn(root)).toContain('sleep 666');
    const { containers } = await again(root);
    await containers.recover();
    await vi.waitFor(() => expect(processesOf(root).inContainers).not.toContain(pid), SOON);
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('end with the process that makes them, when that closes, and go on with the next', async () => {
    const { root, provisioner, containers: first } = await storeWithBusybox();
    await first.launch('job', IMAGE, { ...FOREVER, ...check('sleep 444', { timeout: 60_000 }) });
    await vi.waitFor(() => expect(commandsIn(root)).toContain('sleep 444'), SOON);
    await provisioner.close();
    expect(commandsIn(root)).not.toContain('sleep 444');
    const { containers } = await again(root);
    await containers.recover();
    await vi.waitFor(() => expect(commandsIn(root)).toContain('sleep 444'), SOON);
    expect(await healthOf(containers)).toMatchObject({ failingStreak: 0, results: [] });
  });

  test.each(['health.begun', 'health.told'])(
    'are gone on with by another process after a crash: %s',
    async (crashAt) => {
      const { root, provisioner } = await storeWithBusybox();
      await provisioner.close();
      const body = `await c.launch('job', '${IMAGE}', ${JSON.stringify({ ...FOREVER, ...check('true') })}); await sleep(60_000);`;
      expect(await otherContainerizer(root, body, { crashAt }).done).toEqual([]);
      const { containers } = await again(root);
      await containers.recover();
      expect(await containers.waitUntil('job', 'healthy')).toMatchObject({ launch: { state: 'running' } });
      const told: string[] = [];
      for await (const { kind } of containers.events()) if (kind === 'health') told.push(kind);
      expect(told.length).toBe(crashAt === 'health.told' ? 2 : 1);
      await containers.destroy('job', { running: 'kill' });
      await expectNothingLeft(root);
    },
  );

  test('of fifty containers, each a tenth of a second, leave this process to others, and end with them', async () => {
    const { containers, root } = await storeWithBusybox();
    const ids = Array.from({ length: 50 }, (_, index) => `job-${index}`);
    const health = { command: ['true'], interval: 100, retries: 1 };
    for (const id of ids) await containers.launch(id, IMAGE, { ...FOREVER, health });
    await Promise.all(ids.map((id) => containers.waitUntil(id, 'healthy')));
    let longest = 0;
    for (let last = performance.now(), turns = 0; turns < 200; turns++) {
      await sleep(10);
      longest = Math.max(longest, performance.now() - last - 10);
      last = performance.now();
    }
    expect(longest).toBeLessThan(500);
    for (const launch of await containers.list())
      expect(launch.health).toMatchObject({ status: 'healthy', failingStreak: 0 });
    await Promise.all(ids.map((id) => containers.destroy(id, { running: 'kill' })));
    await expectNothingLeft(root);
  }, 120_000);
});
