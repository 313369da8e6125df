import { describe, expect, it } from 'vitest';
import { exitOf, exitStatus, parseExitFile } from '#src/containerizer/launches/kept/exit.js';

const file = (lines: Readonly<Record<string, string | number>>) =>
  Object.entries({ status: 0, finished: '1700000000.250000000', by: '-', ...lines })
    .map(([name, value]) => `${name} ${value}\n`)
    .join('');
const endOf = (lines: Readonly<Record<string, string | number>>) => {
  const parsed = parseExitFile(file(lines));
  return parsed === undefined ? undefined : exitOf(parsed, 1_700_000_000_000);
};

describe('the end of a program', () => {
  it.each([
    ['ended by itself', { status: 0 }, { code: 0, reason: 'exited' }, 0],
    ['ended by itself with a code', { status: 7 << 8 }, { code: 7, reason: 'exited' }, 7],
    ['was killed by a signal', { status: 15 }, { signal: 15, reason: 'killed' }, 143],
    ['dumped core', { status: 0x80 | 11 }, { signal: 11, reason: 'killed' }, 139],
    ['was killed for want of memory', { status: 9, oom: 1 }, { signal: 9, reason: 'oom', oomKills: 1 }, 137],
    ['was killed by somebody', { status: 9, oom: 0 }, { signal: 9, reason: 'killed', oomKills: 0 }, 137],
    ['lost a child for want of memory', { status: 0, oom: 3 }, { code: 0, reason: 'exited', oomKills: 3 }, 0],
    ['says 137 itself', { status: 137 << 8 }, { code: 137, reason: 'exited' }, 137],
    ['ran out of time', { status: 9, by: 'time-limit' }, { signal: 9, reason: 'time-limit' }, 137],
    ['printed too much', { status: 9, by: 'log-limit' }, { signal: 9, reason: 'log-limit' }, 137],
  ])('tells that it %s', (_, lines, expected, status) => {
    const exit = endOf(lines);
    expect(exit).toMatchObject(expected);
    expect(exit && exitStatus(exit)).toBe(status);
  });

  it('was the limit of disk space where that was to kill it, and it did not end in another way', () => {
    const overDisk = (lines: Readonly<Record<string, string | number>>) => {
      const parsed = parseExitFile(file(lines));
      return parsed && exitOf(parsed, undefined, true);
    };
    expect(overDisk({ status: 9, oom: 1 })).toMatchObject({ signal: 9, reason: 'disk-limit' });
    expect(overDisk({ status: 9, by: 'time-limit' })).toMatchObject({ reason: 'time-limit' });
    expect(overDisk({ status: 0 })).toMatchObject({ code: 0, reason: 'exited' });
    expect(overDisk({ status: 15 })).toMatchObject({ signal: 15, reason: 'killed' });
  });

  it('has what was counted, in bytes, nanoseconds and milliseconds', () => {
    expect(endOf({ peak: 4096, cpu: 12_345_678 })).toEqual({
      code: 0,
      reason: 'exited',
      oomKills: 0,
      peakMemory: 4096,
      cpuTime: 12_345_678,
      startedAt: 1_700_000_000_000,
      finishedAt: 1_700_000_000_250,
    });
    expect(endOf({ 'cpu-microseconds': 12 })?.cpuTime).toBe(12_000);
  });

  it.each(['', 'status', 'status x\nfinished 1\n', 'finished 1.0\n', 'status -1\nfinished 1\n'])(
    'is not known by a file that says %j, so that it is never taken for a success',
    (text) => expect(parseExitFile(text)).toBeUndefined(),
  );

  it('has no code where nobody knows it', () => {
    expect(exitStatus({ reason: 'monitor-lost', oomKills: 0 })).toBe(125);
  });
});
