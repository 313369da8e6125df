import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MONITOR_PROGRAM } from '#src/containerizer/monitor/monitor-program.js';
import { type MonitorSettings, monitorFile } from '#src/containerizer/monitor/monitor-settings.js';
import { describeWith } from '../helpers/requirements.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'monitor-'));
  mkdirSync(join(directory, 'output'));
  writeFileSync(join(directory, 'monitor.pl'), MONITOR_PROGRAM);
  writeFileSync(join(directory, 'alive'), '');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Words of Perl that execute what follows with the signal of a child's end held back. */
const WITHOUT_SIGNALS = [
  '-MPOSIX',
  '-e',
  'POSIX::sigprocmask(POSIX::SIG_BLOCK, POSIX::SigSet->new(POSIX::SIGCHLD)); exec @ARGV',
];

/** Lets a shell script be the runtime. @param before words of Perl before the monitor's @returns what the monitor told whoever started it */
async function monitored(
  script: string,
  hide: readonly string[] = [],
  before: readonly string[] = [],
  limits: Partial<Pick<MonitorSettings, 'logLimit' | 'logEnds' | 'timeLimit'>> = {},
): Promise<string> {
  const settings = monitorFile({
    container: 'job',
    program: '/bin/sh',
    runtime: 'sh',
    arguments: ['-c', script],
    hide,
    join: [],
    remove: [],
    after: [],
    timeLimit: false,
    logLimit: 0,
    logEnds: false,
    counters: {},
    ...limits,
  });
  writeFileSync(join(directory, 'monitor'), settings);
  const perl = execFileSync('sh', ['-c', 'command -v perl'], { encoding: 'utf8' }).trim();
  const alive = openSync(join(directory, 'alive'), 'r');
  const monitor = spawn(perl, [...before, ...(before.length > 0 ? [perl] : []), join(directory, 'monitor.pl')], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', alive],
  });
  closeSync(alive);
  let told = '';
  monitor.stdio[3]?.on('data', (bytes) => {
    told += bytes;
  });
  await new Promise((resolve) => monitor.once('close', resolve));
  return told;
}

const log = () => readFileSync(join(directory, 'output/log'), 'utf8');
const exitFile = () => readFileSync(join(directory, 'exit'), 'utf8');

describeWith(['root'], 'the monitor of a container', () => {
  it('tells the code of a program that has ended before the runtime that started it', async () => {
    // The inner shell ends at once, and leaves its program to the monitor: before that ends, or it may have been waited for already.
    const told = await monitored('(sh -c "sleep 0.1; exit 7" & echo -n $! > pid); sleep 0.4');
    expect(told).toMatch(/^started \d+ \d+\.\d{9}\n$/);
    expect(exitFile()).toContain(`status ${7 << 8}\n`);
  });

  it('tells the signal of a program that outlives the runtime', async () => {
    await monitored(`(sh -c 'sleep 0.3; kill -9 $$' & echo -n $! > pid)`);
    expect(exitFile()).toContain('status 9\n');
  });

  it('sees the end of a program of which no signal tells, as of one that ends right before the wait for it', async () => {
    await monitored('(sh -c "exec 1>&- 2>&-; sleep 0.2; exit 6" & echo -n $! > pid)', [], WITHOUT_SIGNALS);
    expect(exitFile()).toContain(`status ${6 << 8}\n`);
  }, 10_000);

  it('does not take the end of another process that was left to it for that of the program', async () => {
    await monitored('(sh -c "sleep 0.1; exit 3" & sh -c "sleep 0.4; exit 5" & echo -n $! > pid); sleep 0.2');
    expect(exitFile()).toContain(`status ${5 << 8}\n`);
  });

  it('hides from the runtime what it cannot stand, and nothing is left there of what that writes', async () => {
    const hidden = join(directory, 'hidden');
    mkdirSync(hidden);
    writeFileSync(join(hidden, 'controllers'), '');
    await monitored('(ls hidden > seen; touch hidden/left; sh -c "sleep 0.1" & echo -n $! > pid); sleep 0.3', [hidden]);
    expect(exitFile()).toContain('status 0\n');
    expect(readFileSync(join(directory, 'seen'), 'utf8')).toBe('');
    expect(readdirSync(hidden)).toEqual(['controllers']);
  });

  it('tells of a program that has ended by itself that its log was full, where output was cut', async () => {
    const script = `(sh -c 'sleep 0.2; seq 1 3000; exit 5' & echo -n $! > pid)`;
    await monitored(script, [], [], { logLimit: 4096, logEnds: true });
    expect(exitFile()).toContain('by log-limit\n');
    expect(log()).toMatch(/ monitor F \d+ bytes of stdout could not be kept\n$/);
  });

  it('cuts nothing of a log that has no limit', async () => {
    const script = `(sh -c 'sleep 0.2; seq 1 3000; exit 5' & echo -n $! > pid)`;
    await monitored(script, [], [], { logLimit: 0, logEnds: true });
    expect(exitFile()).toContain('by -\n');
    expect(exitFile()).toContain(`status ${5 << 8}\n`);
    expect(log()).toMatch(/ stdout F 3000\n$/);
  });

  it('keeps what stands in a log that may not lose any, though the program was ended for another limit before it was full', async () => {
    writeFileSync(join(directory, 'deadline'), '0');
    const late = 'sleep 0.3; seq 1001 1050; sleep 0.1; seq 2000 4000';
    const script = `((${late}) & sh -c 'exec sleep 60' & echo -n $! > pid)`;
    await monitored(script, [], [], { logLimit: 4096, logEnds: true, timeLimit: true });
    expect(exitFile()).toContain('by time-limit\n');
    expect(readdirSync(join(directory, 'output'))).toEqual(['log']);
    expect(log()).toMatch(/^\S+ stdout F 1001\n/);
    expect(log()).toMatch(/ monitor F \d+ bytes of stdout could not be kept\n$/);
  });

  it('numbers the parts of a log, also when it goes on with one that was there', async () => {
    const parts = () =>
      ['log.1', 'log'].map((name) => {
        const [, number = '0'] =
          /^\S+ part F (\d+) \S+\n/.exec(readFileSync(join(directory, 'output', name), 'utf8')) ?? [];
        return Number(number);
      });
    const script = `(sh -c 'for i in 1 2 3 4 5; do sleep 0.1; seq 1 200; done' & echo -n $! > pid)`;
    await monitored(script, [], [], { logLimit: 16384 });
    const [older = 0, newer = 0] = parts();
    expect(newer).toBe(older + 1);
    await monitored(script, [], [], { logLimit: 16384 });
    const [olderNow = 0, newerNow = 0] = parts();
    expect(newerNow).toBe(olderNow + 1);
    expect(olderNow).toBeGreaterThanOrEqual(newer);
  });
});
