import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { MONITOR_PROGRAM } from '#src/containerizer/monitor/monitor-program.js';
import { monitorFile } from '#src/containerizer/monitor/monitor-settings.js';
import { Starter } from '#src/containerizer/monitor/starter.js';
import { SYSTEM_CALLS } from '#src/containerizer/monitor/system-calls.js';
import { ENTER_PROGRAM } from '#src/containerizer/runtime/enter-program.js';
import { loadProcesses } from '#src/system/processes/load-processes.js';
import { readPipe } from '#src/system/processes/pipe-streams.js';
import { describeWith } from '../helpers/requirements.js';

const processes = loadProcesses();
const SIGKILL = 9;

let directory: string;
let starter: Starter;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'starter-'));
  writeFileSync(join(directory, 'monitor.pl'), MONITOR_PROGRAM);
  writeFileSync(join(directory, 'enter.pl'), ENTER_PROGRAM);
  const [monitor, enter] = [join(directory, 'monitor.pl'), join(directory, 'enter.pl')];
  starter = new Starter(processes, { perl: '/usr/bin/perl', monitor, enter });
});
afterEach(() => {
  starter.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Children of this process that start others. */
function keptCopies(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        const [, parent] = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
        const isStarter = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('starter');
        return isStarter && Number(parent) === process.pid;
      } catch {
        return false;
      }
    });
}

/** Whether a child has ended, though nobody may have waited for it. */
function isDead(pid: number): boolean {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
}

/** @returns what a script says of itself */
async function say(script: string, hide: readonly string[] = []): Promise<string> {
  const output = processes.openPipe();
  const { pid } = await starter.hidden({
    hide,
    command: ['/bin/sh', '-c', script],
    descriptors: ['null', output.writeEnd, 'null'],
  });
  closeSync(output.writeEnd);
  const said = await text(readPipe(output.readEnd));
  expect(await processes.exitOf(pid)).toEqual({ code: 3 });
  return said.replaceAll(String(pid), 'PID');
}

/** The loaded copy by itself, which asks this process, with other numbers of system calls. */
function serve(numbers: Readonly<Record<string, number>>, requests: string) {
  const calls = Object.entries({ ...SYSTEM_CALLS[arch()], ...numbers })
    .flat()
    .map(String);
  const args = [join(directory, 'monitor.pl'), 'starter', ...calls];
  return spawnSync('/usr/bin/perl', args, { input: requests, encoding: 'utf8' });
}

describeWith(['root', 'mount'], 'what starts monitors and hidden programs', () => {
  it('starts each of them the same, directly or by its copy: a child, with a session, and with what it was given alone', async () => {
    const script =
      // By the shell itself: while it starts something, it blocks all signals.
      'while read -r line; do case $line in Sig[BI]*) echo "$line";; esac; done < /proc/$$/status; ' +
      'cut -d" " -f4-6 /proc/$$/stat; ls /proc/$$/fd; readlink /proc/$$/fd/0; env | grep -v PWD; exit 3';
    starter.prepare();
    const first = await say(script);
    expect(keptCopies()).toHaveLength(1);
    expect(await say(script)).toBe(first);
    starter.close();
    await vi.waitFor(() => expect(keptCopies()).toEqual([]), { timeout: 5000, interval: 10 });
    expect(await say(script)).toBe(first);
    expect(keptCopies()).toEqual([]);
    expect(first.split('\n')).toEqual(expect.arrayContaining([`${process.pid} PID PID`, '0', '1', '2', '/dev/null']));
    expect(first).not.toMatch(/^[3-9]$/m);
  });

  it('hides what is to be hidden from them, and from nobody else', async () => {
    const place = join(directory, 'a place, 100%');
    mkdirSync(place);
    writeFileSync(join(place, 'there'), '');
    for (let times = 0; times < 2; times++) {
      expect(await say(`ls -A "${place}"; exit 3`, [place])).toBe('');
      expect(await say(`ls -A "${place}"; exit 3`)).toBe('there\n');
    }
  });

  it('starts monitors in the directories of their launches, many at once', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `launch ${index}\n%`);
    const told = await Promise.all(
      names.map(async (name, index) => {
        const launch = join(directory, name);
        mkdirSync(join(launch, 'output'), { recursive: true });
        writeFileSync(join(launch, 'alive'), '');
        const settings = {
          container: name,
          program: '/bin/sh',
          runtime: 'sh',
          hide: [],
          join: [],
          remove: [],
          after: [],
        };
        const limits = { timeLimit: false, logLimit: 0, logEnds: false, counters: {} };
        const script = `echo said ${index}; exit 9`;
        writeFileSync(join(launch, 'monitor'), monitorFile({ ...settings, ...limits, arguments: ['-c', script] }));
        const telling = processes.openPipe();
        const given = ['null', 'null', 'null', telling.writeEnd, telling.readEnd] as const;
        const { pid } = await starter.monitor(launch, given);
        closeSync(telling.writeEnd);
        const line = await text(readPipe(telling.readEnd));
        expect(await processes.exitOf(pid)).toEqual({ code: 0 });
        return [line, readFileSync(join(launch, 'output/log'), 'utf8').replace(/^\S+ /, '')];
      }),
    );
    expect(told).toEqual(names.map((_, index) => ['failed 9\n', `stdout F said ${index}\n`]));
  });

  it('is loaded again when somebody has ended it, and is gone when it is closed', async () => {
    for (let times = 0; times < 2; times++) await say('exit 3');
    const [copy = 0] = keptCopies();
    process.kill(copy, SIGKILL);
    while (!isDead(copy));
    // Nobody could be told of it yet: the next one finds out when it asks, and is started directly.
    await say('exit 3');
    expect(keptCopies()).toEqual([]);
    await say('exit 3');
    expect(keptCopies()).toHaveLength(1);
    starter.close();
    await vi.waitFor(() => expect(keptCopies()).toEqual([]), { timeout: 5000, interval: 10 });
    // Then each is started directly.
    await say('exit 3');
    expect(keptCopies()).toEqual([]);
  });

  it('is ended when it does not answer, and then loaded again', async () => {
    const [monitor, enter] = [join(directory, 'monitor.pl'), join(directory, 'enter.pl')];
    starter = new Starter(processes, { perl: '/usr/bin/perl', monitor, enter }, 300);
    for (let times = 0; times < 2; times++) await say('exit 3');
    const [copy = 0] = keptCopies();
    process.kill(copy, 'SIGSTOP');
    const started = starter.hidden({ hide: [], command: ['/bin/true'], descriptors: ['null', 'null', 'null'] });
    await expect(started).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    await say('exit 3');
    expect(keptCopies()).toHaveLength(1);
  });

  it('starts directly what it cannot give what it is to be given', async () => {
    for (let times = 0; times < 2; times++) await say('exit 3');
    const closed = processes.openPipe();
    closeSync(closed.readEnd);
    closeSync(closed.writeEnd);
    const descriptors = ['null', closed.writeEnd, 'null'] as const;
    const started = starter.hidden({ hide: [], command: ['/bin/true'], descriptors });
    await expect(started).rejects.toMatchObject({ code: 'EBADF' });
    await vi.waitFor(() => expect(keptCopies()).toEqual([]), { timeout: 5000, interval: 10 });
    await say('exit 3');
  });

  it('has a process moved to where it is as soon as a runtime is going to be started, once in a while, and waits for nothing', async () => {
    const [monitor, enter] = [join(directory, 'monitor.pl'), join(directory, 'enter.pl')];
    const primed = (procs: string) => {
      writeFileSync(procs, '');
      starter.close();
      starter = new Starter(processes, { perl: '/usr/bin/perl', monitor, enter, procs });
      starter.prepare();
      return vi.waitFor(() => expect(readFileSync(procs, 'utf8')).toBe('0\n'), { timeout: 5000, interval: 1 });
    };
    const procs = join(directory, 'procs');
    await primed(procs);
    writeFileSync(procs, '');
    await vi.waitFor(
      () => {
        starter.prepare();
        expect(readFileSync(procs, 'utf8')).toBe('0\n');
      },
      { timeout: 5000, interval: 15 },
    );
    // As when the kernel lets it wait. Of another starter, of which nothing else is on its way.
    const slow = join(directory, 'slow');
    await primed(slow);
    rmSync(slow);
    expect(spawnSync('mkfifo', [slow]).status).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 15));
    starter.prepare();
    await say('exit 3');
    await vi.waitFor(() => expect(keptCopies()).toHaveLength(1), { timeout: 5000, interval: 10 });
    expect(readFileSync(slow, 'utf8')).toBe('0\n');
  });

  it('says to each who asks that it can start nothing on a kernel without descriptors of processes', () => {
    const request = 'run - =0 =/bin/true\n';
    const { stdout, status } = serve({ pidfd_open: 9999 }, `${request}prime\n${request}${request}`);
    expect(stdout.split('\n').filter((line) => line.startsWith('failed pidfd_open: '))).toHaveLength(3);
    expect(status).toBe(0);
  });

  it('gives what it starts nothing more on a kernel that closes no ranges of descriptors', async () => {
    const output = openSync(join(directory, 'output'), 'w+');
    try {
      const command = ['/bin/sh', '-c', 'ls /proc/$$/fd'].map((word) => `=${word.replaceAll(' ', '%20')}`).join(' ');
      const request = `run -,${output},- =0 ${command}\n`;
      expect(serve({ close_range: 9999 }, `${request}${request}${request}`).stdout).toMatch(/^\d+\n\d+\n\d+\n$/);
      await vi.waitFor(() => expect(readFileSync(join(directory, 'output'), 'utf8')).toBe('0\n1\n2\n'.repeat(3)), {
        timeout: 5000,
      });
    } finally {
      closeSync(output);
    }
  });
});
