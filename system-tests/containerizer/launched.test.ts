import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { Containerizer, LaunchOptions } from '#src/containerizer/index.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  killMonitors,
  launchPath,
  otherContainerizer,
  processesOf,
  sh,
  storeWithBusybox,
  takeAllAway,
} from '../helpers/containers.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { Driver } from '../metadata/sqlite-files.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox'] as const;
const SIGKILL = 9;
const STUBBORN = 'trap "" TERM; while :; do sleep 0.05; done';

async function printed(containers: Containerizer, id: string): Promise<string> {
  let text = '';
  for await (const { stream, bytes } of containers.logs(id)) text += stream === 'monitor' ? `[${bytes}]` : `${bytes}`;
  return text;
}

/** Waits for what happens without this process. */
const soon = (look: () => unknown) => vi.waitFor(() => expect(look()).toBe(true), { timeout: 15_000, interval: 20 });

const launchIds = (root: string) => readdirSync(join(root, 'launches'));
const hasExit = (root: string) => launchIds(root).some((id) => existsSync(join(launchPath(root, id), 'exit')));

/** A store in which a process that has died since has launched something; nobody else has it open. */
async function launchedByTheDead(script: string, options: LaunchOptions = {}): Promise<string> {
  const { provisioner, root } = await storeWithBusybox();
  await provisioner.close();
  const launch = `await c.launch('job', '${IMAGE}', ${JSON.stringify({ ...sh(script), ...options })});`;
  const starter = otherContainerizer(root, `${launch} say('launched'); await sleep(60_000);`);
  await starter.says('launched');
  await starter.kill();
  return root;
}

describeWith(NEEDS, 'a program that is launched with nothing said', () => {
  test('finds itself where it can do little harm', async () => {
    const { containers, root } = await storeWithBusybox();
    const script = `grep -E '^(Seccomp|NoNewPrivs|CapEff|CapBnd|CapAmb):' /proc/self/status | tr '\\t' ' '
      echo pid $$; ls /sys/class/net; cat /proc/keys | wc -c; ls -A /sys/firmware
      touch /proc/sys/vm/swappiness 2>&1; touch /sys/x 2>&1; grep -c provisioner /proc/self/cgroup; echo over; exec sleep 60`;
    const launched = await containers.launch('job', IMAGE, sh(script));
    await vi.waitFor(async () => expect(await printed(containers, 'job')).toMatch(/over\n$/), { timeout: 5000 });
    const lines = (await printed(containers, 'job')).trimEnd().split('\n');
    expect(lines).toEqual([
      'CapEff: 00000000800405fb',
      'CapBnd: 00000000800405fb',
      'CapAmb: 0000000000000000',
      'NoNewPrivs: 1',
      'Seccomp: 2',
      'pid 1',
      'lo',
      '0',
      expect.stringContaining('Read-only file system'),
      expect.stringContaining('Read-only file system'),
      '0',
      'over',
    ]);
    expect(launched.relaxed).toEqual([]);
    expect(await containers.stats('job')).toMatchObject({ processLimit: 4096 });
    // What it is kept from is no more than it was told, and none of ours is open in it.
    const open = readdirSync(`/proc/${launched.pid}/fd`).sort();
    expect(open).toEqual(expect.arrayContaining(['0', '1', '2']));
    expect(open.filter((number) => Number(number) > 2 && number !== '10')).toEqual([]);
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a program whose starter has died, with nobody of ours alive but its monitor', () => {
  test('runs to its end, and its code and what it printed are kept', async () => {
    const root = await launchedByTheDead('sleep 0.5; echo late; exit 7');
    await soon(() => hasExit(root));
    await soon(() => processesOf(root).monitors.length === 0);
    const { containers } = await again(root);
    expect(await containers.get('job')).toMatchObject({ state: 'exited', exit: { code: 7, reason: 'exited' } });
    expect(await containers.wait('job')).toMatchObject({ code: 7, reason: 'exited' });
    expect(await printed(containers, 'job')).toBe('late\n');
    expect(await containers.recover()).toMatchObject({ lost: [], undone: [], swept: [] });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('is removed at its end when that was wanted', async () => {
    const root = await launchedByTheDead('sleep 0.3; exit 7', { remove: true });
    await soon(() => launchIds(root).length === 0);
    await expectNothingLeft(root);
  });

  test('is ended at its time limit', async () => {
    const root = await launchedByTheDead(STUBBORN, { timeout: 1000 });
    await soon(() => hasExit(root));
    const { containers } = await again(root);
    expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL, reason: 'time-limit' });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('is ended at the limit of its log, which is kept', async () => {
    const root = await launchedByTheDead('yes', { log: { maxBytes: 65536, whenFull: 'end' } });
    await soon(() => hasExit(root));
    const { containers } = await again(root);
    expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL, reason: 'log-limit' });
    const [id = ''] = launchIds(root);
    expect(logBytes(root, id)).toBeLessThanOrEqual(65536 + 4096);
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('is known to have been ended for want of memory', async () => {
    const script = 'sleep 0.3; exec dd if=/dev/zero of=/dev/null bs=100M';
    const root = await launchedByTheDead(script, { limits: { memoryBytes: 32 * 2 ** 20 } });
    await soon(() => hasExit(root));
    const { containers } = await again(root);
    expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL, reason: 'oom', oomKills: 1 });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a launch', () => {
  test('whose monitor is killed is lost, and its program does not outlive the next recovery', async () => {
    const root = await launchedByTheDead(STUBBORN);
    await killMonitors(root);
    const { containers } = await again(root);
    expect(await containers.recover()).toMatchObject({ lost: ['job'], running: [], ended: [], undone: [] });
    expect(processesOf(root)).toEqual({ inContainers: [], monitors: [] });
    const exit = await containers.wait('job');
    expect(exit).toMatchObject({ reason: 'monitor-lost' });
    expect([exit.code, exit.signal]).toEqual([undefined, undefined]);
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('whose monitor is killed is lost for who waits for it, and its program is ended', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, sh(STUBBORN));
    const wait = containers.wait('job');
    process.kill(processesOf(root).monitors[0] ?? 0, 'SIGKILL');
    expect(await wait).toMatchObject({ reason: 'monitor-lost' });
    expect(processesOf(root).inContainers).toEqual([]);
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('whose runtime is killed fails, and leaves nothing', async () => {
    const { containers, root } = await storeWithBusybox();
    let killed = 0;
    for (let tries = 0; tries < 20 && killed === 0; tries++) {
      let settled = false;
      const launch = containers.launch('job', IMAGE, sh(STUBBORN)).then(
        () => 'launched',
        ({ code }) => code,
      );
      void launch.then(() => {
        settled = true;
      });
      while (!settled && killed === 0) {
        await turn();
        for (const monitor of processesOf(root).monitors) killed += killChildren(monitor);
      }
      const outcome = await launch;
      if (outcome === 'launched') {
        await containers.destroy('job', { running: 'kill' });
        killed = 0;
      } else expect(outcome).toBe('ERR_START_FAILED');
      await expectNothingLeft(root);
    }
    expect(killed).toBeGreaterThan(0);
  });

  test('by what is no runtime fails, and leaves nothing', async () => {
    const { provisioner, root } = await storeWithBusybox();
    await provisioner.close();
    const place = join(root, '..', 'bin');
    mkdirSync(place);
    copyFileSync('/bin/busybox', join(place, 'crun'));
    vi.stubEnv('PATH', `${place}${delimiter}${process.env['PATH']}`);
    try {
      const { containers } = await again(root);
      await expect(containers.launch('job', IMAGE)).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
      await expectNothingLeft(root);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test('from before a reboot is lost, and what it has written is kept', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, sh('echo result >/result; echo said; sleep 60'));
    await vi.waitFor(async () => expect(await printed(containers, 'job')).toBe('said\n'), { timeout: 5000 });
    await provisioner.close();
    await takeAllAway(root);
    await unmountAll(root);
    const database = new Driver(join(root, 'metadata.sqlite'));
    database.exec("UPDATE launch SET boot = 'the one before'");
    database.close();

    const after = await again(root);
    expect(await after.containers.recover()).toMatchObject({ lost: ['job'], running: [], undone: [] });
    const exit = await after.containers.wait('job');
    expect(exit).toMatchObject({ reason: 'lost-by-reboot' });
    expect([exit.code, exit.signal]).toEqual([undefined, undefined]);
    const rootfs = (await after.provisioner.containers.get('job'))?.rootfses[0]?.rootfs ?? '';
    expect(readFileSync(join(rootfs, 'result'), 'utf8')).toBe('result\n');
    expect(await printed(after.containers, 'job')).toBe('said\n');
    await after.containers.destroy('job');
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a program that goes wild', () => {
  test('and prints what nobody reads comes to its end, in little memory and a bounded log', async () => {
    const { containers, root } = await storeWithBusybox();
    const maxBytes = 2 ** 20;
    const script = 'dd if=/dev/zero bs=64k count=800 2>/dev/null; seq 1 200000; echo last; cat; exit 3';
    const { launchId, stdin } = await containers.launch('job', IMAGE, {
      ...sh(script),
      log: { maxBytes },
      stdin: 'pipe',
    });
    const [monitor = 0] = processesOf(root).monitors;
    await vi.waitFor(async () => expect(await printed(containers, 'job')).toContain('last\n'), {
      timeout: 30_000,
      interval: 100,
    });
    const [, peak = ''] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${monitor}/status`, 'utf8')) ?? [];
    expect(Number(peak)).toBeGreaterThan(0);
    expect(Number(peak)).toBeLessThan(24 * 1024);
    expect(logBytes(root, launchId)).toBeLessThanOrEqual(maxBytes + 2 ** 18);
    stdin?.end();
    expect(await containers.wait('job')).toMatchObject({ code: 3 });
    expect((await printed(containers, 'job')).slice(-20)).toContain('200000\nlast\n');
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('and prints more than is kept of it before it is read has that told in its place, and nowhere else', async () => {
    const { containers, root } = await storeWithBusybox();
    const log = { maxBytes: 128 * 1024 };
    // The numbers of each stretch without a gap; the first and last of one may have been cut in two.
    const stretches = async (last: number, pause: number) => {
      const { output } = await containers.launch('job', IMAGE, { ...sh(`seq 1 ${last}`), log, attach: true });
      const texts = [''];
      for await (const { stream, bytes } of output ?? []) {
        if (stream === 'monitor') {
          expect(`${bytes}`).toBe('some output was dropped before it was read\n');
          texts.push('');
          await sleep(pause);
        } else texts.push(`${texts.pop()}${bytes}`);
      }
      await containers.wait('job');
      await containers.destroy('job');
      return texts.map((text) =>
        text
          .split('\n')
          .slice(text === texts[0] ? 0 : 1, -1)
          .map(Number),
      );
    };
    const found = await stretches(300_000, 5);
    expect(found.length).toBeGreaterThan(1);
    let before = 0;
    for (const [index, numbers] of found.entries()) {
      const [first = 0] = numbers;
      expect(numbers).toEqual(numbers.map((_, place) => first + place));
      // What is missing between two stretches is more than the line that was cut.
      if (index > 0) expect(first).toBeGreaterThan(before + 2);
      else expect([0, 1]).toContain(first);
      before = numbers.at(-1) ?? before;
    }
    expect(before).toBe(300_000);
    const short = await stretches(1500, 0);
    expect(short).toEqual([Array.from({ length: 1500 }, (_, index) => index + 1)]);
    await expectNothingLeft(root);
  });

  test('and finds the disk of its log full goes on, and what is missing is counted', async () => {
    const { path } = mountFileSystem('tmpfs');
    const { containers, root } = await storeWithBusybox({ root: join(path, 'store') });
    const script = 'head -n 1; seq 100000 140000; echo between; cat; echo after; exit 5';
    const { stdin } = await containers.launch('job', IMAGE, { ...sh(script), stdin: 'pipe' });
    const filling = join(path, 'filling');
    fill(filling);
    stdin?.write('go\n');
    // What comes after all that was printed.
    await soon(() => runs(root, 'cat'));
    rmSync(filling);
    stdin?.end('go\n');
    expect(await containers.wait('job')).toMatchObject({ code: 5, reason: 'exited' });
    const log = await printed(containers, 'job');
    expect(log).toMatch(/\[\d+ bytes of stdout could not be kept\n\]/);
    expect(log).toMatch(/after\n/);
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('and ends with the disk full that it has filled itself has ended, and says how', async () => {
    const { path } = mountFileSystem('tmpfs');
    const { containers, root } = await storeWithBusybox({ root: join(path, 'store') });
    const script = sh(
      'dd if=/dev/zero of=/fill bs=4k 2>/dev/null; dd if=/dev/zero of=/more bs=512 2>/dev/null; seq 20000; exit 3',
    );
    await containers.launch('job', IMAGE, script);
    const exit = await containers.wait('job', { signal: AbortSignal.timeout(20_000) });
    expect(exit).toMatchObject({ code: 3, reason: 'exited' });
    expect(await containers.destroy('job')).toBe(true);
    await expectNothingLeft(root);
  });

  test('and multiplies stays within its limit, and is destroyed with all that it has become', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, {
      ...sh('b() { (b) & (b) & sleep 60; }; (b) & exec sleep 60'),
      limits: { pids: 40 },
    });
    await vi.waitFor(() => expect(processesOf(root).inContainers.length).toBeGreaterThan(15), { timeout: 5000 });
    expect((await containers.stats('job')).processes).toBeLessThanOrEqual(40);
    expect(await containers.destroy('job', { running: 'kill' })).toBe(true);
    await expectNothingLeft(root);
  });
});

function logBytes(root: string, launchId: string): number {
  const output = join(launchPath(root, launchId), 'output');
  return readdirSync(output).reduce((sum, name) => sum + statSync(join(output, name)).size, 0);
}

/** @returns how many there were */
function killChildren(pid: number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
    for (const child of children) process.kill(Number(child), 'SIGKILL');
    return children.length;
  } catch {
    return 0;
  }
}

/** Takes all the room that there is. */
function fill(path: string): void {
  const bytes = Buffer.alloc(2 ** 20);
  for (let size = bytes.length; size >= 4096; ) {
    try {
      writeFileSync(path, bytes.subarray(0, size), { flag: 'a' });
    } catch {
      size /= 2;
    }
  }
}

/** @param program a name, without arguments */
function runs(root: string, program: string): boolean {
  return processesOf(root).inContainers.some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === `${program}\0`;
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
}
