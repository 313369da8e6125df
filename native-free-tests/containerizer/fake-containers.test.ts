import { describe, expect, it } from 'vitest';
import { functionOf } from '../contracts/container-programs.js';
import { describeContainerizer } from '../contracts/containerizer.js';
import { SteppedClock } from '../helpers/fake-containers/fake-clock.js';
import { type FakeImage, FakeMachine } from '../helpers/fake-containers/fake-containerizer.js';
import type { FakeProgram } from '../helpers/fake-containers/fake-process.js';

const IMAGE = 'fake:1';
const images: Record<string, FakeImage> = {
  [IMAGE]: {
    command: ['true'],
    env: { PATH: '/bin' },
    users: {
      root: { uid: 0, gid: 0, home: '/root' },
      alice: { uid: 1000, gid: 1001, home: '/home/alice' },
    },
    files: ['/etc/passwd', '/bin/'],
  },
};

describeContainerizer('containers in memory promise what every containerizer does:', async () => {
  const machine = new FakeMachine({ images, programOf: functionOf });
  return {
    containers: machine.containerizer('one'),
    stranger: machine.containerizer('stranger'),
    image: IMAGE,
    left: async () => [...machine.containers.keys()],
  };
});

describe('containers in memory', () => {
  function machineOf(programs: Record<string, FakeProgram>) {
    const clock = new SteppedClock();
    const machine = new FakeMachine({ clock, images, programOf: ([name = '']) => programs[name] });
    return { clock, machine, containers: machine.containerizer() };
  }
  const forEver: FakeProgram = (process) => process.forEver();

  it('end at a time limit when the time that they are handed comes to it, what they are paused not counted', async () => {
    const { clock, containers } = machineOf({ forEver });
    await containers.launch('job', IMAGE, { command: ['forEver'], timeout: 60_000 });
    await clock.step(50_000);
    await containers.pause('job');
    await clock.step(1_000_000);
    await containers.resume('job');
    await clock.step(9_999);
    expect(await containers.get('job')).toMatchObject({ state: 'running' });
    await clock.step(1);
    expect(await containers.wait('job')).toMatchObject({ reason: 'time-limit', signal: 9 });
  });

  it('that are held have all of their time when they are started, and again when they are started again', async () => {
    const { clock, machine, containers } = machineOf({ forEver });
    const { launchId } = await containers.create('job', IMAGE, { command: ['forEver'], timeout: 1000 });
    await clock.step(1_000_000);
    expect(await containers.get('job')).toMatchObject({ state: 'created', launchId });
    for (let times = 0; times < 2; times++) {
      const { startedAt } = await containers.start('job');
      await clock.step(999);
      expect(await containers.get('job')).toMatchObject({ state: 'running', startedAt });
      await clock.step(1);
      expect(await containers.wait('job')).toMatchObject({ reason: 'time-limit', startedAt });
    }
    expect(machine.events.kinds).toEqual(['create', 'start', 'exit', 'start', 'exit']);
  });

  it('end by stop when the grace that they are handed is over', async () => {
    const { clock, containers } = machineOf({ forEver });
    await containers.launch('job', IMAGE, { command: ['forEver'] });
    const stop = containers.stop('job', { grace: 10_000 });
    await clock.step(9_999);
    expect(await containers.get('job')).toMatchObject({ state: 'running' });
    await clock.step(1);
    expect(await stop).toMatchObject({ reason: 'killed', signal: 9 });
  });

  it('are lost with their monitor or the machine, and a recovery says which, once', async () => {
    const { machine, containers } = machineOf({ forEver });
    for (const id of ['one', 'two', 'three']) await containers.launch(id, IMAGE, { command: ['forEver'] });
    machine.loseMonitor('one');
    const exit = await containers.wait('one');
    expect(exit).toMatchObject({ reason: 'monitor-lost' });
    expect([exit.code, exit.signal]).toEqual([undefined, undefined]);
    expect(await containers.recover()).toMatchObject({ running: ['three', 'two'], lost: ['one'] });
    machine.reboot();
    expect(await containers.wait('two')).toMatchObject({ reason: 'lost-by-reboot' });
    expect(await containers.recover()).toMatchObject({ running: [], lost: ['two', 'three'] });
    expect(await containers.recover()).toMatchObject({ running: [], lost: [] });
  });

  it('go in a recovery that does not know them, unless they run or are of another owner', async () => {
    const { machine, containers } = machineOf({ forEver, ends: () => 3 });
    await containers.launch('runs', IMAGE, { command: ['forEver'] });
    for (const id of ['known', 'unknown']) await containers.launch(id, IMAGE, { command: ['ends'] });
    await machine.containerizer('another').launch('foreign', IMAGE, { command: ['ends'] });
    for (const id of ['known', 'unknown', 'foreign']) await containers.wait(id);
    await containers.recover({ knownContainerIds: ['known'] });
    expect((await containers.list()).map(({ containerId }) => containerId)).toEqual(['foreign', 'known', 'runs']);
  });

  it('tell what happened to them, in its order', async () => {
    const { machine, clock, containers } = machineOf({
      naps: async (process) => {
        await process.sleep(100);
        return 4;
      },
    });
    await containers.launch('job', IMAGE, { command: ['naps'] });
    await containers.pause('job');
    await containers.update('job', { pids: 9 });
    await containers.resume('job');
    await clock.step(100);
    expect(machine.events.kinds).toEqual(['create', 'start', 'pause', 'update', 'resume', 'exit']);
  });

  it('of a program that throws say that it has failed', async () => {
    const { containers } = machineOf({
      throws: () => {
        throw new Error('no');
      },
    });
    await containers.launch('job', IMAGE, { command: ['throws'] });
    expect(await containers.wait('job')).toMatchObject({ code: 1, reason: 'exited' });
  });
});
