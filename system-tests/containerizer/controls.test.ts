import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ContainerCgroup } from '#src/containerizer/cgroups/container-cgroup.js';
import { hierarchiesOfThisProcess, parentOf } from '#src/containerizer/cgroups/hierarchies.js';
import type { Containerizer } from '#src/containerizer/index.js';
import type { Provisioner } from '#src/index.js';
import { processStat } from '#src/system/processes/process-stat.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  keyOf,
  launchPath,
  processesOf,
  sh,
  storeWithBusybox,
  takeAllAway,
} from '../helpers/containers.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { Driver } from '../metadata/sqlite-files.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox'] as const;
const SIGKILL = 9;
const FOR_LONG = sh('sleep 60');
/** Much less than the ten seconds after which what does not end is given up. */
const SOON = 5000;

function cgroupOf(root: string, launchId: string): ContainerCgroup {
  const hierarchies = hierarchiesOfThisProcess();
  const surroundings = {
    sendSignal: () => undefined,
    pause: (ms: number) => new Promise<void>((r) => setTimeout(r, ms)),
  };
  return new ContainerCgroup(hierarchies, `${parentOf(hierarchies, keyOf(root))}/${launchId}`, surroundings);
}

/** Stands for a process that is slow: its next change of a launch waits until it may go on. */
function slowToRecord(provisioner: Provisioner) {
  const change = provisioner.launches.change.bind(provisioner.launches);
  const [arrived, released] = [new EventEmitter(), new EventEmitter()];
  const isHere = once(arrived, 'now');
  const mayGoOn = once(released, 'now');
  vi.spyOn(provisioner.launches, 'change').mockImplementationOnce(async (...args) => {
    arrived.emit('now');
    await mayGoOn;
    return change(...args);
  });
  return { arrived: isHere, release: () => void released.emit('now') };
}

async function eventsOf(containers: Containerizer): Promise<string[]> {
  const kinds: string[] = [];
  for await (const { kind } of containers.events()) kinds.push(kind);
  return kinds;
}

describeWith(NEEDS, 'a container from before a reboot', () => {
  test.each(['the containerizer', 'the provisioner'] as const)(
    'is destroyed by %s, and who has got its number since is not touched',
    async (by) => {
      const { containers, provisioner, root } = await storeWithBusybox();
      await containers.launch('job', IMAGE, FOR_LONG);
      await provisioner.close();
      await takeAllAway(root);
      await unmountAll(root);
      const bystander = spawn('sleep', ['60']);
      onTestFinished(() => void bystander.kill('SIGKILL'));
      const { pid = 0 } = bystander;
      const ticks = processStat(pid)?.startTicks;
      const database = new Driver(join(root, 'metadata.sqlite'));
      database.exec(
        `UPDATE launch SET boot = 'the one before', place = json_set(place, '$.pid', ${pid}, '$.startTicks', '${ticks}')`,
      );
      database.close();

      const after = await again(root);
      const destroyer = by === 'the provisioner' ? after.provisioner : after.containers;
      expect(await destroyer.destroy('job', { running: 'kill' })).toBe(true);
      expect(processStat(pid)?.state).toBe('S');
      expect(await eventsOf(after.containers)).not.toContain('kill');
      await after.containers.recover();
      await expectNothingLeft(root);
    },
  );
});

describeWith(NEEDS, 'two who control a container at the same time', () => {
  test('halt and kill it: it ends, and who halted it is told', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, FOR_LONG);
    const slow = slowToRecord(provisioner);
    const paused = containers.pause('job').catch((error) => error);
    await slow.arrived;
    const other = await again(root);
    await other.containers.kill('job');
    expect(await other.containers.wait('job')).toMatchObject({ signal: SIGKILL });
    slow.release();
    expect(await paused).toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING', details: { state: 'exited' } });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('halt it while it is being killed: it ends all the same', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    const { launchId } = await containers.launch('job', IMAGE, FOR_LONG);
    const cgroup = cgroupOf(root, launchId);
    const { freezerState, cgroupFreeze } = cgroup.monitored();
    const note = provisioner.launches.note.bind(provisioner.launches);
    vi.spyOn(provisioner.launches, 'note').mockImplementationOnce((event) => {
      // Right before the signal.
      writeFileSync(freezerState ?? cgroupFreeze ?? '', freezerState === undefined ? '1' : 'FROZEN');
      return note(event);
    });
    await containers.kill('job');
    expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('halt it and let it go on: the record says what it does, and it can be halted again', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    const { launchId } = await containers.launch('job', IMAGE, { ...FOR_LONG, timeout: 50_000 });
    const deadline = () => readFileSync(join(launchPath(root, launchId), 'deadline'), 'utf8');
    const slow = slowToRecord(provisioner);
    const paused = containers.pause('job');
    await slow.arrived;
    const other = await again(root);
    await other.containers.resume('job');
    slow.release();
    await paused;
    const [record] = await provisioner.launches.list();
    expect(record).toMatchObject({ state: 'running' });
    expect(cgroupOf(root, launchId).isFrozen()).toBe(false);
    expect(deadline()).not.toContain('-');
    await containers.pause('job');
    expect(cgroupOf(root, launchId).isFrozen()).toBe(true);
    expect(deadline()).toContain('-');
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a container that was halted by who died before that was recorded', () => {
  test.each(['a look', 'a recovery'] as const)('is recorded so by %s, and its time does not pass', async (by) => {
    const { containers, provisioner, root } = await storeWithBusybox();
    const { launchId } = await containers.launch('job', IMAGE, { ...FOR_LONG, timeout: 50_000 });
    await cgroupOf(root, launchId).freeze();
    if (by === 'a look') await containers.get('job');
    else await containers.recover();
    const [record] = await provisioner.launches.list();
    expect(record).toMatchObject({ state: 'paused' });
    expect(readFileSync(join(launchPath(root, launchId), 'deadline'), 'utf8')).toMatch(/^- /);
    await containers.resume('job');
    expect(await eventsOf(containers)).toEqual(['create', 'start', 'pause', 'resume']);
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test.each(['stop', 'kill'] as const)('ends by %s', async (by) => {
    const { containers, root } = await storeWithBusybox();
    const { launchId } = await containers.launch('job', IMAGE, sh('trap "exit 3" TERM; while :; do sleep 0.02; done'));
    await vi.waitFor(() => expect(processesOf(root).inContainers.length).toBeGreaterThan(1), { timeout: SOON });
    await cgroupOf(root, launchId).freeze();
    await containers[by]('job');
    expect(await containers.wait('job')).toMatchObject(by === 'stop' ? { code: 3 } : { signal: SIGKILL });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a program that ends just when something is done to it', () => {
  test('is told to have ended, with a monitor that is slow to tell so', async () => {
    const { containers, root } = await storeWithBusybox();
    const { pid = 0 } = await containers.launch('job', IMAGE, FOR_LONG);
    const [monitor = 0] = processesOf(root).monitors;
    process.kill(monitor, 'SIGSTOP');
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(processStat(pid)?.state).toBe('Z'), { timeout: SOON, interval: 5 });
    const exec = containers.exec('job', ['true']).then(({ ended }) => ended);
    for (const late of [containers.pause('job'), exec]) {
      await expect(late).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
    }
    await expect(containers.pause('job')).rejects.toMatchObject({
      message: 'container job does not run: it is exited',
    });
    process.kill(monitor, 'SIGCONT');
    expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL });
  });

  test('is told to have ended while it waits for a program more that nobody waits for', async () => {
    const { containers, root } = await storeWithBusybox();
    const { pid = 0, launchId } = await containers.launch('job', IMAGE, FOR_LONG);
    const { ended } = await containers.exec('job', ['sleep', '60']);
    const inside = () =>
      cgroupOf(root, launchId)
        .processes()
        .filter((other) => other !== pid);
    await vi.waitFor(() => expect(inside().map((other) => processStat(other)?.name)).toEqual(['sleep']), {
      timeout: SOON,
    });
    const [program = 0] = inside();
    const runtime = processStat(program)?.parent ?? 0;
    process.kill(runtime, 'SIGSTOP');
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(processStat(pid)?.isExiting).toBe(true), { timeout: SOON, interval: 5 });
    await expect(containers.exec('job', ['true']).then((exec) => exec.ended)).rejects.toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
    });
    expect(processStat(pid)?.isExiting).toBe(true);
    process.kill(runtime, 'SIGCONT');
    expect(await ended).toMatchObject({ code: 137 });
    expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL });
  });

  test('is never told to be missing by a program more', async () => {
    const { containers } = await storeWithBusybox();
    for (let delay = 0; delay < 40; delay += 5) {
      const { pid = 0 } = await containers.launch('job', IMAGE, FOR_LONG);
      const exec = containers.exec('job', ['sleep', '60']).then(async ({ stdout, stderr, ended }) => {
        for (const stream of [stdout, stderr]) if (stream !== undefined) text(stream).catch(() => undefined);
        return ended;
      });
      const outcome = exec.catch(({ code }) => ({ reason: code }));
      setTimeout(() => process.kill(pid, 'SIGKILL'), delay);
      expect(['ERR_CONTAINER_NOT_RUNNING', 'killed', 'exited']).toContain((await outcome).reason);
      const { code } = (await outcome) as { code?: number };
      expect([undefined, 137]).toContain(code);
      await containers.wait('job');
      await containers.destroy('job');
    }
  });

  test('has started before it ends, however slow its start is to be recorded', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.create('job', IMAGE, { command: ['true'] });
    const other = await again(root);
    const slow = slowToRecord(other.provisioner);
    const started = other.containers.start('job');
    await slow.arrived;
    const exit = await containers.wait('job');
    slow.release();
    expect(exit).toMatchObject({ code: 0, startedAt: expect.any(Number) });
    expect(await started).toMatchObject({ state: 'exited', startedAt: exit.startedAt });
    expect(await containers.get('job')).toMatchObject({ startedAt: exit.startedAt });
    expect(await eventsOf(containers)).toEqual(['create', 'start', 'exit']);
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('has not started when it is killed at its gate, although who wanted to start it died', async () => {
    const { containers, root } = await storeWithBusybox();
    const { launchId } = await containers.create('job', IMAGE, { command: ['true'] });
    writeFileSync(join(launchPath(root, launchId), 'let-go'), `${Date.now()}`);
    expect(await containers.get('job')).toMatchObject({ state: 'created' });
    expect((await containers.stop('job')).startedAt).toBeUndefined();
    expect(await eventsOf(containers)).not.toContain('start');
    await containers.destroy('job');
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a monitor that somebody has stopped', () => {
  test.each([
    ['stop', (containers: Containerizer) => containers.stop('job', { signal: 'KILL' })],
    ['restart', (containers: Containerizer) => containers.restart('job', { signal: 'KILL' })],
    ['destroy --force', (containers: Containerizer) => containers.destroy('job', { running: 'kill' })],
  ] as const)('does not keep %s from its end', async (_, control) => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, FOR_LONG);
    process.kill(processesOf(root).monitors[0] ?? 0, 'SIGSTOP');
    const begun = performance.now();
    await control(containers);
    expect(performance.now() - begun).toBeLessThan(SOON);
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });
});

describeWith([...NEEDS, 'runc'], 'a program more that is given up while it is being started', () => {
  test.each(['crun', 'runc'] as const)('is not left running by %s, whenever that is', async (runtime) => {
    const { containers, root } = await storeWithBusybox({ runtime });
    const { pid = 0, launchId } = await containers.launch('job', IMAGE, FOR_LONG);
    const inside = () => cgroupOf(root, launchId).processes();
    await vi.waitFor(() => expect(inside()).toEqual([pid]), { timeout: SOON });
    for (let delay = 2; delay <= 50; delay += 3) {
      for (const limit of [{ timeout: delay }, { signal: AbortSignal.timeout(delay) }]) {
        const { stdout, stderr, ended } = await containers.exec('job', ['sleep', '60'], limit);
        for (const stream of [stdout, stderr]) stream.resume();
        expect(['time-limit', 'aborted']).toContain((await ended).reason);
        await vi.waitFor(() => expect(inside()).toEqual([pid]), { timeout: SOON, interval: 5 });
      }
    }
  });
});
