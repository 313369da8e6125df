import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { processStat } from '#src/system/processes/process-stat.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  otherContainerizer,
  processesOf,
  sh,
  storeWithBusybox,
} from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox'] as const;

/** Children of this process that have ended, and that nobody has waited for. */
function zombies(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const found = processStat(pid);
      return found?.parent === process.pid && found.state === 'Z';
    });
}

describeWith(NEEDS, 'a containerizer that is closed while its containers run', () => {
  test('leaves no process that nobody waits for, however often another one is opened and closed', async () => {
    const { provisioner, root } = await storeWithBusybox();
    await provisioner.close();
    for (const id of ['a', 'b', 'c']) {
      const next = await again(root);
      await next.containers.launch(id, IMAGE, sh('sleep 1'));
      await next.provisioner.close();
    }
    await vi.waitFor(() => expect(processesOf(root).monitors).toEqual([]), { timeout: 10_000, interval: 20 });
    await vi.waitFor(() => expect(zombies()).toEqual([]), { timeout: 5000, interval: 50 });
    const { containers } = await again(root);
    for (const id of ['a', 'b', 'c']) {
      expect(await containers.wait(id)).toMatchObject({ code: 0 });
      await containers.destroy(id);
    }
    await expectNothingLeft(root);
  });

  test('lets its process end', async () => {
    const { provisioner, root } = await storeWithBusybox();
    await provisioner.close();
    const body = `await c.launch('job', '${IMAGE}', { command: ['sleep', '60'] }); await p.close(); say('closed');`;
    const other = otherContainerizer(root, body);
    await other.says('closed');
    const closed = performance.now();
    await other.done;
    expect(performance.now() - closed).toBeLessThan(5000);
    const { containers } = await again(root);
    expect(await containers.get('job')).toMatchObject({ state: 'running' });
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a containerizer that is closed while something is being started', () => {
  test('is closed when that is done, and tells it', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const script = { ...sh('exit 3') };
    await containers.launch('ended', IMAGE, script);
    await containers.wait('ended');
    await containers.create('held', IMAGE, script);
    await containers.launch('running', IMAGE, sh('trap "exit 0" TERM; while :; do sleep 0.02; done'));
    const begun = [
      containers.launch('new', IMAGE, sh('exec sleep 60')),
      containers.create('created', IMAGE, script),
      containers.start('ended'),
      containers.start('held'),
      containers.restart('running', { grace: 5000 }),
    ];
    await provisioner.close();
    expect((await Promise.all(begun)).map(({ containerId, state }) => [containerId, state])).toEqual([
      ['new', 'running'],
      ['created', 'created'],
      ['ended', 'running'],
      ['held', expect.stringMatching(/^(?:running|exited)$/)],
      ['running', 'running'],
    ]);
    const next = await again(root);
    expect(await next.containers.get('new')).toMatchObject({ state: 'running' });
    expect(await next.containers.get('running')).toMatchObject({ state: 'running' });
    expect(await next.containers.wait('ended')).toMatchObject({ code: 3 });
    for (const { containerId } of await next.containers.list())
      await next.containers.destroy(containerId, { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('is closed when it is, however far that had come', async () => {
    const { provisioner, root } = await storeWithBusybox();
    await provisioner.close();
    for (const after of [0, 1, 2, 4, 8, 12, 16, 20, 30, 40]) {
      const next = await again(root);
      const launch = next.containers.launch('job', IMAGE, sh('exec sleep 60'));
      // Whoever gives up now is told in the end.
      launch.catch(() => undefined);
      await sleep(after);
      await next.provisioner.close();
      expect(await launch).toMatchObject({ state: 'running' });
      const { provisioner: other, containers } = await again(root);
      expect(await containers.get('job')).toMatchObject({ state: 'running' });
      await containers.destroy('job', { running: 'kill' });
      await other.close();
    }
    await expectNothingLeft(root);
  });

  test('lets nothing begin that comes later', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const launch = containers.launch('early', IMAGE, sh('exec sleep 60'));
    const closed = provisioner.close();
    await vi.waitFor(async () => {
      await expect(containers.launch('late', IMAGE)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    });
    await Promise.all([launch, closed]);
    await expect(containers.start('early')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    const next = await again(root);
    expect((await next.containers.list()).filter(({ containerId }) => containerId === 'early')).toHaveLength(1);
    for (const { containerId } of await next.containers.list())
      await next.containers.destroy(containerId, { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('does not wait for what another process starts', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const begin = `p.provision = () => new Promise(() => {}); c.launch('job', '${IMAGE}', {}); say('begun'); await sleep(60_000);`;
    const other = otherContainerizer(root, begin);
    await other.says('begun');
    await vi.waitFor(async () => expect(await containers.get('job')).toMatchObject({ state: 'starting' }), {
      timeout: 5000,
    });
    const start = containers.start('job').catch((error) => error);
    await sleep(100);
    await provisioner.close();
    expect(await start).toMatchObject({ code: 'ERR_CLOSED' });
    await other.kill();
    const next = await again(root);
    await next.containers.recover();
    await expectNothingLeft(root);
  });
});
