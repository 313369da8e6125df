import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, onTestFinished, test, vi } from 'vitest';
import { hierarchiesOfThisProcess } from '#src/containerizer/cgroups/hierarchies.js';
import { printCpuList } from '#src/containerizer/cgroups/limits/cpu-list.js';
import type { Containerizer } from '#src/containerizer/index.js';
import { leasableCpus } from '#src/containerizer/leases/leasable-cpus.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  killMonitors,
  otherContainerizer,
  processesOf,
  sh,
  storeWithBusybox,
  takeAllAway,
} from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups'] as const;
const CDI = '/var/run/cdi';
const KIND = `provisioner-leases-${process.pid}.example/gpu`;
const RUNS = { command: ['sleep', '100'] };

/** All processors that can be leased here; where nothing can, what follows is skipped. */
const CPUS =
  inject('missingRequirements').cgroups === undefined ? leasableCpus(hierarchiesOfThisProcess()).counted() : [];

/** Nodes that look like GPUs, of a driver that this machine has not: nobody opens them. */
function madeNode(name: string, minor: number, directory = temporaryDirectory()): string {
  const path = join(directory, name);
  expect(spawnSync('mknod', [path, 'c', '195', String(minor)]).status).toBe(0);
  return path;
}

/** Two of them, with a door that both have, and a name for both. */
function cdiGpus(): void {
  const door = { path: '/dev/door', hostPath: madeNode('door', 200) };
  const nodes = [0, 1].map((index) => ({ path: `/dev/gpu${index}`, hostPath: madeNode(`gpu${index}`, index) }));
  const device = (name: string, ...those: object[]) => ({
    name,
    containerEdits: { deviceNodes: [door, ...those], env: [`GPU_${name}=1`] },
  });
  const devices = [
    ...nodes.map((node, index) => device(String(index), node)),
    device('GPU-first', nodes[0] as object),
    device('all', ...nodes),
  ];
  mkdirSync(CDI, { recursive: true, mode: 0o755 });
  const file = join(CDI, `provisioner-leases-${process.pid}.json`);
  onTestFinished(() => rmSync(file, { force: true }));
  writeFileSync(file, JSON.stringify({ cdiVersion: '0.6.0', kind: KIND, devices }), { mode: 0o644 });
}

async function printed(containers: Containerizer, id: string): Promise<string> {
  let text = '';
  for await (const { bytes } of containers.logs(id)) text += bytes.toString();
  return text;
}

const leased = (containerId: string) => ({
  code: 'ERR_LEASED',
  message: expect.stringContaining(`container ${containerId} `),
  hint: expect.stringMatching(/provisioner (leases|ps)/),
});

describeWith(NEEDS, 'what a container leases', () => {
  test.each(['crun', 'runc'] as const)('it has, and no other, until it ends, by %s', async (runtime) => {
    cdiGpus();
    const { containers, provisioner, root } = await storeWithBusybox({ runtime });
    const script = 'grep Cpus_allowed_list /proc/self/status; ls /dev/door /dev/gpu*; env | grep GPU; read x';
    const leases = { cpus: 1, deviceClasses: { [KIND]: 1 } };
    const one = await containers.launch('one', IMAGE, { ...sh(script), leases, stdin: 'pipe' });
    expect(one.leased).toEqual({ cpus: '0', devices: [`${KIND}=0`] });
    await containers.launch('two', IMAGE, { ...sh(script), leases, stdin: 'pipe' });
    expect(await containers.leases()).toMatchObject([
      { containerId: 'one', holder: one.launchId, cpus: '0', devices: [`${KIND}=0`] },
      { containerId: 'two', cpus: '1', devices: [`${KIND}=1`] },
    ]);
    for (const [id, other] of [
      ['one', 0],
      ['two', 1],
    ] as const) {
      await expect.poll(() => printed(containers, id)).toContain(`GPU_${other}=1`);
      expect(await printed(containers, id)).toBe(
        `Cpus_allowed_list:\t${other}\n/dev/door\n/dev/gpu${other}\nGPU_${other}=1\n`,
      );
    }
    for (const wanted of [
      { cpus: CPUS.length - 1 },
      { cpus: '1' },
      { devices: [`${KIND}=1`] },
      { deviceClasses: { [KIND]: 1 } },
    ])
      await expect(containers.launch('late', IMAGE, { ...RUNS, leases: wanted })).rejects.toMatchObject({
        code: 'ERR_LEASED',
      });
    one.stdin?.end();
    expect(await containers.wait('one')).toMatchObject({ reason: 'exited' });
    await containers.launch('late', IMAGE, { ...RUNS, leases: { cpus: '0', devices: [`${KIND}=GPU-first`] } });
    expect(await containers.get('one')).not.toHaveProperty('leased.cpus');
    for (const id of ['one', 'two', 'late']) await containers.destroy(id, { running: 'kill' });
    expect(await provisioner.holdings.list()).toEqual([]);
    await expectNothingLeft(root);
  });

  test('is one device by whatever path or name', async () => {
    cdiGpus();
    const { containers } = await storeWithBusybox();
    const node = madeNode('same', 0);
    const link = join(temporaryDirectory(), 'link');
    symlinkSync(node, link);
    const devices = [{ source: node, target: '/dev/mine', access: 'r' }];
    const one = await containers.launch('one', IMAGE, {
      ...sh('ls /dev/mine; ls /dev/link; sleep 100'),
      devices,
      leases: { devices: [link] },
    });
    // It has it where it asks for it.
    expect(one.leased).toEqual({ cpus: undefined, devices: [link] });
    for (const name of [node, link, `${KIND}=0`, `${KIND}=GPU-first`, `${KIND}=all`])
      await expect(containers.launch('two', IMAGE, { ...RUNS, leases: { devices: [name] } })).rejects.toMatchObject(
        leased('one'),
      );
    await containers.launch('two', IMAGE, { ...RUNS, leases: { devices: [`${KIND}=1`] } });
  });

  test('nobody gets who asks for it plainly, nor is leased what somebody has plainly', async () => {
    cdiGpus();
    const { containers } = await storeWithBusybox();
    const node = madeNode('plain', 1);
    await containers.launch('one', IMAGE, { ...RUNS, leases: { cpus: '0', devices: [`${KIND}=0`] } });
    const plain = [
      { limits: { cpuset: '0' } },
      { limits: { cpuset: '0-1' } },
      { cdiDevices: [`${KIND}=GPU-first`] },
      { devices: [{ source: madeNode('other', 0), target: '/dev/other' }] },
    ];
    for (const options of plain)
      await expect(containers.launch('two', IMAGE, { ...RUNS, ...options })).rejects.toMatchObject(leased('one'));
    const own = { limits: { cpuset: '1' }, devices: [{ source: node, target: '/dev/mine' }] };
    await containers.launch('two', IMAGE, { ...RUNS, ...own });
    await containers.launch('three', IMAGE, { ...RUNS, ...own });
    // Who says nothing of processors runs on all.
    await containers.launch('four', IMAGE, sh('grep Cpus_allowed_list /proc/self/status'));
    await containers.wait('four');
    expect(await printed(containers, 'four')).toContain(`\t${printCpuList(CPUS)}\n`);
    for (const wanted of [{ cpus: '1' }, { devices: [`${KIND}=1`] }, { deviceClasses: { [KIND]: 1 } }])
      await expect(containers.launch('five', IMAGE, { ...RUNS, leases: wanted })).rejects.toMatchObject(leased('two'));
    for (const id of ['two', 'three']) await containers.stop(id, { grace: 0 });
    await containers.launch('five', IMAGE, { ...RUNS, leases: { cpus: '1', devices: [`${KIND}=1`] } });
  });

  test('stays its cpuset; another one may be given to whoever has leased none, as far as they are free', async () => {
    const { containers } = await storeWithBusybox();
    await containers.launch('one', IMAGE, { ...RUNS, leases: { cpus: '0' } });
    await containers.launch('two', IMAGE, { ...RUNS, limits: { cpuset: '1' } });
    for (const cpuset of ['0', '1'])
      await expect(containers.update('one', { cpuset })).rejects.toMatchObject({
        code: 'ERR_LIMIT_INVALID',
        message: expect.stringContaining('has leased the processors 0'),
      });
    await expect(containers.update('two', { cpuset: '0' })).rejects.toMatchObject(leased('one'));
    await containers.update('one', { pids: 100 });
    await containers.stop('one', { grace: 0 });
    await containers.update('two', { cpuset: '0' });
    await containers.launch('three', IMAGE, { ...RUNS, leases: { cpus: '1' } });
    await expect(containers.start('one')).rejects.toMatchObject(leased('two'));
  });

  test('is taken anew when it is started again, and held by what waits to be started', async () => {
    const { containers } = await storeWithBusybox();
    await containers.create('one', IMAGE, { ...sh('exit 3'), leases: { cpus: CPUS.length } });
    expect(await containers.leases()).toMatchObject([{ containerId: 'one', cpus: printCpuList(CPUS) }]);
    await containers.start('one');
    expect(await containers.wait('one')).toMatchObject({ code: 3 });
    await containers.launch('two', IMAGE, { ...RUNS, leases: { cpus: 1 } });
    await expect(containers.start('one')).rejects.toMatchObject(leased('two'));
    expect(await containers.get('one')).toMatchObject({ state: 'exited' });
    await containers.destroy('two', { running: 'kill' });
    await containers.start('one');
    expect(await containers.wait('one')).toMatchObject({ code: 3 });
    expect(await containers.leases()).toEqual([]);
  });

  test('is refused in words of what was asked for', async () => {
    const { containers } = await storeWithBusybox();
    for (const cpus of ['1-0', '1000']) {
      await expect(containers.launch('job', IMAGE, { ...RUNS, leases: { cpus } })).rejects.toThrow(
        `the processors "${cpus}" cannot be leased`,
      );
    }
    await containers.launch('one', IMAGE, { ...RUNS, limits: { cpuset: '0' } });
    await expect(containers.launch('two', IMAGE, { ...RUNS, leases: { cpus: '0' } })).rejects.toMatchObject({
      message: expect.stringContaining('container one uses processor 0'),
      hint: expect.not.stringContaining('provisioner leases'),
    });
  });

  test.each<[object, string]>([
    [{ cpus: 1000 }, 'ERR_LIMIT_INVALID'],
    [{ cpus: 0 }, 'ERR_BAD_OPTION'],
    [{ cpus: '1000' }, 'ERR_LIMIT_INVALID'],
    [{ cpus: 'x' }, 'ERR_LIMIT_INVALID'],
    [{ devices: ['/dev/null'] }, 'ERR_BAD_OPTION'],
    [{ devices: ['/dev/nothing-like-it'] }, 'ERR_DEVICE_NOT_FOUND'],
    [{ devices: ['/etc/passwd'] }, 'ERR_DEVICE_NOT_FOUND'],
    [{ devices: ['nobody.example/gpu=0'] }, 'ERR_DEVICE_NOT_FOUND'],
    [{ devices: ['gpu=0'] }, 'ERR_BAD_OPTION'],
    [{ deviceClasses: { 'nobody.example/gpu': 1 } }, 'ERR_DEVICE_NOT_FOUND'],
    [{ deviceClasses: { [KIND]: 3 } }, 'ERR_DEVICE_NOT_FOUND'],
    [{ deviceClasses: { [KIND]: 0 } }, 'ERR_BAD_OPTION'],
  ])('cannot be %j, and nothing is left of that', async (leases, code) => {
    cdiGpus();
    const { containers, root, provisioner } = await storeWithBusybox();
    const wanted = { ...RUNS, leases: { devices: [`${KIND}=0`], ...leases } };
    await expect(containers.launch('job', IMAGE, wanted)).rejects.toMatchObject({ code });
    expect(await provisioner.holdings.list()).toEqual([]);
    await expectNothingLeft(root);
  });

  test('is not there twice: a cpuset beside leased processors, and leases of what another tool runs', async () => {
    const { containers, root } = await storeWithBusybox();
    const leases = { cpus: 1 };
    await expect(containers.launch('job', IMAGE, { ...RUNS, leases, limits: { cpuset: '0' } })).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
    });
    await expect(containers.spec('job', IMAGE, { ...RUNS, leases })).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    await expectNothingLeft(root);
  });

  test('is given back when the launch fails after it was taken', async () => {
    const { containers, root, provisioner } = await storeWithBusybox();
    const wanted = { command: ['/nowhere'], leases: { cpus: CPUS.length } };
    await expect(containers.launch('job', IMAGE, wanted)).rejects.toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
    expect(await provisioner.holdings.list()).toEqual([]);
    await expectNothingLeft(root);
  });

  test('goes to one of those who want it at once, whichever process they are in', async () => {
    const { containers, root } = await storeWithBusybox();
    const body = (id: string) => `
      const outcome = await c.launch('${id}', '${IMAGE}', { command: ['sleep', '100'], leases: { cpus: ${CPUS.length} } })
        .then(() => 'got it', (error) => error.code);
      say(outcome);`;
    const mine = ['m1', 'm2'].map((id) =>
      containers.launch(id, IMAGE, { ...RUNS, leases: { cpus: CPUS.length } }).then(
        () => 'got it',
        (error) => error.code as string,
      ),
    );
    const others = ['o1', 'o2'].map((id) => otherContainerizer(root, body(id)).done.then(([line = '']) => line));
    const outcomes = await Promise.all([...mine, ...others]);
    expect(outcomes.sort()).toEqual(['ERR_LEASED', 'ERR_LEASED', 'ERR_LEASED', 'got it']);
    expect(await containers.leases()).toHaveLength(1);
  });
});

describeWith(NEEDS, 'a lease of what has ended, and nobody has seen it,', () => {
  test('is in nobody’s way: its monitor was killed', async () => {
    const { containers, root } = await storeWithBusybox();
    await otherContainerizer(
      root,
      `await c.launch('one', '${IMAGE}', { command: ['sleep', '100'], leases: { cpus: ${CPUS.length} } }); process.exit(0);`,
    ).done;
    await killMonitors(root);
    const two = await containers.launch('two', IMAGE, { ...RUNS, leases: { cpus: CPUS.length } });
    expect(two.leased).toMatchObject({ cpus: printCpuList(CPUS) });
    expect(await containers.get('one')).toMatchObject({ state: 'exited', exit: { reason: 'monitor-lost' } });
  });

  test('is in nobody’s way: the machine was booted', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await containers.launch('one', IMAGE, { ...RUNS, leases: { cpus: CPUS.length } });
    await provisioner.close();
    await takeAllAway(root);
    const database = new Driver(join(root, 'metadata.sqlite'));
    database.exec("UPDATE launch SET boot = 'the one before'; UPDATE holding SET boot = 'the one before'");
    database.close();
    const after = await again(root);
    await after.containers.launch('two', IMAGE, { ...RUNS, leases: { cpus: CPUS.length } });
    expect(await after.containers.get('one')).toMatchObject({ exit: { reason: 'lost-by-reboot' } });
  });

  test.each(['launch.leased', 'launch.isolated', 'launch.monitored', 'launch.started'])(
    'is in nobody’s way, another owner’s neither: whoever launched was killed at %s; and a recovery gives it back',
    async (crashAt) => {
      const { containers, provisioner, root } = await storeWithBusybox();
      const body = `await c.launch('one', '${IMAGE}', { command: ['sleep', '100'], leases: { cpus: ${CPUS.length} } });`;
      expect(await otherContainerizer(root, body, { crashAt }).done).toEqual([]);
      expect((await provisioner.holdings.list()).length).toBe(CPUS.length);
      const other = await again(root, { owner: 'other' });
      await other.containers.launch('two', IMAGE, { ...RUNS, leases: { cpus: CPUS.length } });
      // What was killed may take a moment to go on a busy machine.
      await vi.waitFor(() => expect(processesOf(root).monitors).toHaveLength(1), { timeout: 5000, interval: 5 });
      await other.containers.destroy('two', { running: 'kill' });
      expect(await otherContainerizer(root, body.replace('one', 'three'), { crashAt }).done).toEqual([]);
      expect(await containers.recover()).toMatchObject({ failed: [] });
      expect(await provisioner.holdings.list()).toEqual([]);
      await expectNothingLeft(root);
    },
  );

  test('stays that of one that is being started, however long that takes', async () => {
    const { containers, root } = await storeWithBusybox();
    const body = `
      p.launches.change = () => (say('begun'), new Promise(() => {}));
      c.launch('one', '${IMAGE}', { command: ['sleep', '100'], leases: { cpus: ${CPUS.length} } });
      await sleep(60_000);`;
    const starter = otherContainerizer(root, body);
    await starter.says('begun');
    await expect(containers.launch('two', IMAGE, { ...RUNS, leases: { cpus: 1 } })).rejects.toMatchObject(
      leased('one'),
    );
    await starter.kill();
    await containers.launch('two', IMAGE, { ...RUNS, leases: { cpus: 1 } });
  });

  test('goes with it where it is to be removed and nobody of ours lives', async () => {
    const { provisioner, root } = await storeWithBusybox();
    const body = `await c.launch('one', '${IMAGE}', { command: ['sleep', '0.3'], leases: { cpus: ${CPUS.length} }, remove: true }); process.exit(0);`;
    await otherContainerizer(root, body).done;
    await expect.poll(() => provisioner.holdings.list(), { timeout: 8000 }).toEqual([]);
    await expectNothingLeft(root);
  });
});
