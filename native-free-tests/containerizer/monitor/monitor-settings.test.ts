import { describe, expect, it } from 'vitest';
import { type MonitorSettings, monitorFile, monitorRunsHere } from '#src/containerizer/monitor/monitor-settings.js';

const SETTINGS: MonitorSettings = {
  container: 'job-1',
  program: '/usr/bin/crun',
  runtime: 'crun',
  arguments: ['--root', '/run/x', 'run'],
  hide: [],
  join: [],
  remove: ['/run/x/a'],
  after: [],
  timeLimit: false,
  logLimit: 0,
  logEnds: false,
  counters: {},
};

describe('what a monitor is told', () => {
  it('is a name and a value on each line, and nothing of what is not so', () => {
    expect(monitorFile(SETTINGS, 'x64')).toBe(
      'container job-1\nprogram /usr/bin/crun\nruntime crun\nprctl 157\nunshare 272\nmount 165\nclock_gettime 228\npidfd_open 434\nmknodat 259\nrecvmsg 47\n' +
        'argument --root\nargument /run/x\nargument run\nremove /run/x/a\n',
    );
  });

  it('keeps each value on its line, whatever is in it', () => {
    const text = monitorFile({ ...SETTINGS, arguments: ['a b', '', 'new\nremove /', '100%\r'] }, 'x64');
    expect(text.split('\n').filter((line) => line.startsWith('argument'))).toEqual([
      'argument a b',
      'argument ',
      'argument new%0Aremove /',
      'argument 100%25%0D',
    ]);
    expect(text).not.toMatch(/^remove \/$/m);
  });

  it('has limits where there are some', () => {
    const text = monitorFile({ ...SETTINGS, timeLimit: true, logLimit: 100, logEnds: true }, 'arm64');
    expect(text).toContain('time-limit 1\nlog-limit 100\nlog-end 1\n');
    expect(text).toContain('prctl 167\n');
  });

  it('can be given on the machines whose system calls are known', () => {
    expect(['x64', 'arm64', 'riscv64', 'mips'].map((name) => monitorRunsHere(name))).toEqual([true, true, true, false]);
  });
});
