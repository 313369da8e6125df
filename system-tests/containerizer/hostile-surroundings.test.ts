import { chownSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { hierarchiesOfThisProcess, parentOf } from '#src/containerizer/cgroups/hierarchies.js';
import { listLaunches } from '#src/containerizer/cgroups/launches.js';
import { type Containerizer, openContainerizer } from '#src/containerizer/index.js';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

const APPLETS = ['sh', 'cat', 'echo', 'id', 'sleep', 'true'];
const opened: Containerizer[] = [];

async function containersOfBusybox(): Promise<{ provisioner: Provisioner; containers: Containerizer }> {
  const provisioner = await openStore();
  const image = buildImage(
    [
      buildLayer([
        { path: 'bin/' },
        { path: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
        ...APPLETS.map((name) => ({ path: `bin/${name}`, type: 'symlink', target: 'busybox' }) as const),
      ]),
    ],
    { config: { Env: ['PATH=/bin'], Cmd: ['true'] } },
  );
  await pullImages(provisioner, { 'bb:1': image });
  const containers = await openContainerizer({ provisioner });
  opened.push(containers);
  return { provisioner, containers };
}

const sh = (script: string) => ({ command: ['sh', '-c', script] });

/** The process whose working directory is that of a launch. */
function monitorOf(directory: string): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.find((pid) => {
    try {
      const isThere = statSync(`/proc/${pid}/cwd`).ino === statSync(directory).ino;
      return isThere && readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('provisioner-monitor');
    } catch {
      return false;
    }
  });
  return found === undefined ? undefined : Number(found);
}

afterEach(async () => {
  for (const containers of opened.splice(0)) {
    for (const { containerId } of await containers.list()) await containers.destroy(containerId, { running: 'kill' });
    await containers.recover();
  }
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'what a container has of this machine', () => {
  it('an exec as a user leaves the null device of this machine its owner', async () => {
    const { containers } = await containersOfBusybox();
    await containers.launch('job', 'bb:1', sh('sleep 60'));
    try {
      const { stdout, ended } = await containers.exec('job', ['sh', '-c', 'id -u; cat'], { user: '1234' });
      expect(await text(stdout as NonNullable<typeof stdout>)).toBe('1234\n');
      expect(await ended).toMatchObject({ code: 0 });
      expect(statSync('/dev/null')).toMatchObject({ uid: 0, gid: 0 });
    } finally {
      chownSync('/dev/null', 0, 0);
    }
  });

  it('an exec begins in no directory of /proc, and has no variables without a name', async () => {
    const { containers } = await containersOfBusybox();
    await containers.launch('job', 'bb:1', sh('sleep 60'));
    const code = (options: Parameters<Containerizer['exec']>[2]) =>
      containers.exec('job', ['true'], options).catch(({ code }) => code);
    expect(await code({ workingDir: '/proc/self/fd/3' })).toBe('ERR_WORKING_DIR');
    expect(await code({ workingDir: '/bin/../proc/self/cwd' })).toBe('ERR_WORKING_DIR');
    expect(await code({ env: { '': 'nothing' } })).toBe('ERR_BAD_OPTION');
    expect(await code({ env: { 'A=B': 'two names' } })).toBe('ERR_BAD_OPTION');
    expect(await code({ env: { A: 'B\0C' } })).toBe('ERR_BAD_OPTION');
  });

  it('a file can be mounted read-only', async () => {
    const { containers } = await containersOfBusybox();
    const source = join(temporaryDirectory(), 'file');
    writeFileSync(source, 'as it was');
    const mounts = [{ type: 'bind', source, target: '/data/file', readOnly: true, exec: false }] as const;
    await containers.launch('job', 'bb:1', { ...sh('echo other > /data/file; cat /data/file; exit 3'), mounts });
    expect(await containers.wait('job')).toMatchObject({ code: 3 });
    expect(readFileSync(source, 'utf8')).toBe('as it was');
  });
});

describeWith(
  ['root', 'overlay', 'cgroups', 'crun', 'busybox'],
  'what becomes of a launch whose surroundings fail',
  () => {
    it('its monitor ends with the program when its directory has been removed', async () => {
      const { provisioner, containers } = await containersOfBusybox();
      const { launchId } = await containers.launch('job', 'bb:1', sh('sleep 0.5'));
      const directory = provisioner.launches.directory(launchId);
      const monitor = monitorOf(directory);
      expect(monitor).toBeGreaterThan(1);
      rmSync(directory, { recursive: true });
      await vi.waitFor(() => expect(existsSync(`/proc/${monitor}/cwd`)).toBe(false), { timeout: 8000 });
      expect(await containers.wait('job')).not.toMatchObject({ code: 0 });
    });

    it('what a monitor that was killed did not take away goes with the container', async () => {
      const { provisioner, containers } = await containersOfBusybox();
      const { launchId } = await containers.launch('job', 'bb:1', sh('sleep 60'));
      const directory = provisioner.launches.directory(launchId);
      // As if it had been killed after it had written this.
      process.kill(monitorOf(directory) as number, 'SIGSTOP');
      const hierarchies = hierarchiesOfThisProcess();
      const [{ pid } = { pid: 0 }] = await containers.list();
      process.kill(pid as number, 'SIGKILL');
      writeFileSync(join(directory, 'exit'), 'status 9\nfinished 1700000000.5\nby -\n');
      process.kill(monitorOf(directory) as number, 'SIGKILL');
      expect(await containers.wait('job')).toMatchObject({ signal: 9, reason: 'killed' });
      await containers.destroy('job');
      const cgroups = readdirSync('/run/provisioner').flatMap((key) =>
        listLaunches(hierarchies, parentOf(hierarchies, key)),
      );
      expect(cgroups).not.toContain(launchId);
    });

    it('two that pause at once leave it its limit of time', async () => {
      const { containers } = await containersOfBusybox();
      await containers.launch('job', 'bb:1', { ...sh('sleep 60'), timeout: 1500 });
      await Promise.all([containers.pause('job'), containers.pause('job')]);
      await sleep(2500);
      expect(await containers.get('job')).toMatchObject({ state: 'paused' });
      await Promise.all([containers.resume('job'), containers.resume('job')]);
      expect(await containers.wait('job')).toMatchObject({ reason: 'time-limit' });
    }, 20_000);

    it('one that fails does so at once, and leaves no descriptor open and nothing on the signal of its caller', async () => {
      const { containers } = await containersOfBusybox();
      const { signal } = new AbortController();
      const added = vi.spyOn(signal, 'addEventListener');
      const removed = vi.spyOn(signal, 'removeEventListener');
      const fail = () =>
        containers.launch('job', 'bb:1', { command: ['nothing-of-that-name'], signal }).catch(({ code }) => code);
      const descriptors = () => readdirSync('/proc/self/fd').length;
      // The second one loads what starts the others, which stays.
      for (let times = 0; times < 2; times++) expect(await fail()).toBe('ERR_COMMAND_NOT_FOUND');
      const before = descriptors();
      const since = performance.now();
      for (let times = 0; times < 6; times++) expect(await fail()).toBe('ERR_COMMAND_NOT_FOUND');
      // None waits for its own lock to go, which would take two seconds.
      expect(performance.now() - since).toBeLessThan(6 * 1900);
      await vi.waitFor(() => expect(descriptors()).toBeLessThanOrEqual(before + 1));
      expect(added.mock.calls.length - removed.mock.calls.length).toBeLessThanOrEqual(2);
    }, 30_000);
  },
);
