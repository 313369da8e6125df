import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StoppedWait, type StoppedWaitRoom } from '#src/system/locks/stopped-wait.js';

const ONE = `${'a'.repeat(32)}.41`;
const OTHER = `${'b'.repeat(32)}.42`;
const WORK = { deed: 'pulls docker://app', details: { source: 'docker://app' } };

let now = 0;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

function room(timeout?: number) {
  const stopped = new Set<string>();
  const warnings: unknown[][] = [];
  const options: StoppedWaitRoom = {
    isStopped: (identity) => stopped.has(identity),
    onLongWait: (...warning) => void warnings.push(warning),
    timeout,
    told: new Set(),
  };
  return { stopped, warnings, wait: () => new StoppedWait(options, WORK) };
}

describe('a wait for what another process works at', () => {
  it('goes on for as long as that process works, and nobody is told', () => {
    const { warnings, wait } = room(100);
    const pull = wait();
    for (const at of [0, 100, 60_000, 3_600_000]) {
      now = 1000 + at;
      pull.goOn(ONE);
    }
    expect(warnings).toEqual([]);
  });

  it('is told once when that process has been stopped for five seconds', () => {
    const { stopped, warnings, wait } = room();
    const pull = wait();
    pull.goOn(ONE);
    now += 60_000;
    stopped.add(ONE);
    for (const after of [0, 4999, 1, 1000, 600_000]) {
      now += after;
      pull.goOn(ONE);
    }
    expect(warnings).toEqual([[41, WORK, 5000]]);
  });

  it('is told again when the process has gone on and is stopped again, and not told for each of those who wait', () => {
    const { stopped, warnings, wait } = room();
    const waits = [wait(), wait(), wait()];
    stopped.add(ONE);
    const pass = (milliseconds: number) => {
      now += milliseconds;
      for (const one of waits) one.goOn(ONE);
    };
    for (const after of [0, 5000, 5000]) pass(after);
    expect(warnings).toHaveLength(1);
    stopped.delete(ONE);
    pass(100);
    stopped.add(ONE);
    for (const after of [100, 4999]) pass(after);
    expect(warnings).toHaveLength(1);
    pass(1);
    expect(warnings).toHaveLength(2);
    for (const one of waits) one.end();
    const late = wait();
    late.goOn(ONE);
    now += 5000;
    late.goOn(ONE);
    expect(warnings).toHaveLength(3);
  });

  it('ends when the process has been stopped for as long as is allowed, and says whom to continue', () => {
    const { stopped, wait } = room(2000);
    const pull = wait();
    pull.goOn(ONE);
    now += 60_000;
    stopped.add(ONE);
    pull.goOn(ONE);
    now += 1999;
    pull.goOn(ONE);
    now += 1;
    expect(() => pull.goOn(ONE)).toThrow(
      expect.objectContaining({
        code: 'ERR_LOCK_TIMEOUT',
        message: 'process 41, which pulls docker://app, is stopped, and did not go on within 2000 ms',
        hint: expect.stringContaining('kill -CONT 41'),
        details: { source: 'docker://app', waited: 2000, holders: ['41'], stopped: ['41'] },
      }),
    );
  });

  it('begins anew for each process that takes it up, and whenever one goes on', () => {
    const { stopped, wait } = room(2000);
    const pull = wait();
    stopped.add(ONE).add(OTHER);
    pull.goOn(ONE);
    now += 1999;
    pull.goOn(OTHER);
    now += 1999;
    stopped.delete(OTHER);
    pull.goOn(OTHER);
    stopped.add(OTHER);
    now += 1;
    pull.goOn(OTHER);
    now += 2000;
    expect(() => pull.goOn(OTHER)).toThrow('process 42');
  });
});
