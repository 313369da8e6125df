import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ProvisionerEmitter } from '#src/events.js';
import { Sweeper } from '#src/layer-store/sweeper.js';
import { StorePaths } from '#src/paths.js';
import { WorkerPool } from '#src/workers/worker-pool.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const sweepers: Sweeper[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  for (const sweeper of sweepers.splice(0)) await sweeper.close();
});

function bench() {
  const paths = new StorePaths(temporaryDirectory());
  mkdirSync(paths.gc);
  const events = new ProvisionerEmitter();
  const warnings: string[] = [];
  events.on('warning', ({ code }) => void warnings.push(code));
  const sweeper = new Sweeper(paths, events);
  sweepers.push(sweeper);
  return { paths, sweeper, warnings, events };
}

/** Deleting these fails, as if something were mounted in them. */
function failing(...paths: string[]): Set<string> {
  const broken = new Set(paths);
  const run = WorkerPool.prototype.run;
  vi.spyOn(WorkerPool.prototype, 'run').mockImplementation(function (this: WorkerPool, kind, request, ...rest) {
    const { path } = request as { path: string };
    if (broken.has(path)) return Promise.reject(new Error(`EBUSY: ${path}`));
    return run.call(this, kind, request, ...rest) as never;
  });
  return broken;
}

describe('what is retired', () => {
  test('is out of sight at once, under a name that tells what it was, and deleted', async () => {
    const { paths, sweeper } = bench();
    const tree = join(paths.root, 'tree');
    mkdirSync(join(tree, 'a/b'), { recursive: true });
    writeFileSync(join(tree, 'a/file'), 'x');
    const marked = sweeper.mark(tree, 'what') as string;
    expect(existsSync(tree)).toBe(false);
    expect(basename(marked)).toMatch(/^what\.\d{19}$/);
    expect(readFileSync(join(marked, 'a/file'), 'utf8')).toBe('x');
    sweeper.sweep(marked);
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual([]);
  });

  test('is deleted without a thread when it has few entries, with all below them', async () => {
    const { paths, sweeper, events } = bench();
    const run = vi.spyOn(WorkerPool.prototype, 'run');
    const retire = async (count: number) => {
      mkdirSync(join(paths.root, 'tree/deep/deeper'), { recursive: true });
      symlinkSync(paths.root, join(paths.root, 'tree/link'));
      for (let n = 3; n < count; n++) writeFileSync(join(paths.root, 'tree/deep/deeper', String(n)), '');
      sweeper.retire(join(paths.root, 'tree'), 'tree');
      await sweeper.idle();
      expect(readdirSync(paths.gc)).toEqual([]);
    };
    await retire(64);
    expect(run).not.toHaveBeenCalled();
    expect(events.counted('sweptEntries')).toBe(65);
    await retire(65);
    expect(run).toHaveBeenCalledOnce();
  });

  test('need not be there', async () => {
    const { paths, sweeper } = bench();
    expect(sweeper.mark(join(paths.root, 'nothing'), 'x')).toBeUndefined();
    sweeper.retire(join(paths.root, 'nothing'), 'x');
    await sweeper.idle();
    expect(sweeper.postponed).toEqual([]);
  });

  test('is not called gone when there is no gc to move it to', () => {
    const { paths, sweeper } = bench();
    const tree = join(paths.root, 'tree');
    mkdirSync(tree);
    rmSync(paths.gc, { recursive: true });
    expect(() => sweeper.mark(tree, 'x')).toThrow('ENOENT');
    expect(existsSync(tree)).toBe(true);
  });

  test('never takes the place of something else, however fast one follows the other', () => {
    const { paths, sweeper } = bench();
    const names = Array.from({ length: 500 }, (_, index) => {
      mkdirSync(join(paths.root, 'tree'));
      writeFileSync(join(paths.root, 'tree', String(index)), '');
      return sweeper.mark(join(paths.root, 'tree'), 'same');
    });
    expect(new Set(names).size).toBe(500);
    expect(readdirSync(paths.gc)).toHaveLength(500);
  });
});

describe('a sweep', () => {
  test('deletes whatever lies in gc, whoever left it, and follows no symlink', async () => {
    const { paths, sweeper, warnings } = bench();
    const outside = join(paths.root, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'precious'), 'data');
    symlinkSync(outside, join(paths.gc, 'link.1'));
    symlinkSync('/nonexistent', join(paths.gc, 'dangling.2'));
    mkdirSync(join(paths.gc, 'tree.3/deep'), { recursive: true });
    symlinkSync(outside, join(paths.gc, 'tree.3/deep/link'));
    symlinkSync(join(outside, 'precious'), join(paths.gc, 'tree.3/file'));
    writeFileSync(join(paths.gc, 'stray file'), 'x');
    await sweeper.sweepAll();
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual([]);
    expect(readFileSync(join(outside, 'precious'), 'utf8')).toBe('data');
    expect(warnings).toEqual([]);
  });

  test('goes on after an entry that cannot be deleted, which is postponed, told once, and tried again later', async () => {
    const { paths, sweeper, warnings, events } = bench();
    for (const name of ['a.1', 'busy.2', 'c.3']) mkdirSync(join(paths.gc, name));
    const busy = join(paths.gc, 'busy.2');
    const broken = failing(busy);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await sweeper.sweepAll();
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual(['busy.2']);
    expect(sweeper.postponed).toEqual([{ path: busy, reason: `EBUSY: ${busy}`, attempts: 1 }]);
    expect(sweeper.failed).toMatchObject([{ path: busy, message: expect.stringContaining(`EBUSY: ${busy}`) }]);

    // Twice as long each time: after 1, 3 and 7 seconds.
    for (const [seconds, attempts] of [
      [0.9, 1],
      [1.1, 2],
      [2.9, 2],
      [3.1, 3],
      [6.9, 3],
      [7.1, 4],
    ] as const) {
      vi.setSystemTime(0);
      vi.advanceTimersByTime(seconds * 1000 - at);
      at = seconds * 1000;
      await sweeper.idle();
      expect([seconds, sweeper.postponed[0]?.attempts]).toEqual([seconds, attempts]);
    }
    expect(warnings).toEqual(['SWEEP_FAILED']);
    expect(events.counted('sweepFailures')).toBe(4);
    expect(events.counted('sweptEntries')).toBe(2);

    broken.clear();
    vi.advanceTimersByTime(60_000);
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual([]);
    expect(sweeper.postponed).toEqual([]);
  });

  test('that is asked for again and again does not multiply the tries to come', async () => {
    const { paths, sweeper } = bench();
    mkdirSync(join(paths.gc, 'busy.1'));
    failing(join(paths.gc, 'busy.1'));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    for (let time = 0; time < 10; time += 1) {
      await sweeper.sweepAll();
      await sweeper.idle();
    }
    expect(sweeper.postponed[0]?.attempts).toBe(10);
    expect(vi.getTimerCount()).toBe(1);
  });

  test('does not wait for what is postponed, and forgets it when somebody else has deleted it', async () => {
    const { paths, sweeper } = bench();
    mkdirSync(join(paths.gc, 'busy.1'));
    const broken = failing(join(paths.gc, 'busy.1'));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await sweeper.sweepAll();
    await sweeper.idle();
    rmSync(join(paths.gc, 'busy.1'), { recursive: true });
    expect(sweeper.failed).toEqual([]);
    broken.clear();
    vi.advanceTimersByTime(1000);
    await sweeper.idle();
    expect(sweeper.postponed).toEqual([]);
  });

  test('ends with the sweeper: no timer is left, and what is left in gc stays for the next one', async () => {
    const { paths, sweeper } = bench();
    mkdirSync(join(paths.gc, 'busy.1'));
    failing(join(paths.gc, 'busy.1'));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await sweeper.sweepAll();
    await sweeper.idle();
    await sweeper.close();
    expect(vi.getTimerCount()).toBe(0);
    sweeper.sweep(join(paths.gc, 'busy.1'));
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual(['busy.1']);
  });
});

/** Milliseconds that the fake clock has gone. */
let at = 0;
