import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { KernelLifeLocks } from '#src/system/locks/life-locks.js';
import { Liveness } from '#src/system/locks/liveness.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { describeLiveness } from '../../native-free-tests/contracts/liveness.js';
import { LIFE_LOCKS, otherLife } from '../helpers/other-life.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

describeLiveness('the locks of SQLite', LIFE_LOCKS.sqlite.locks);

describeWith(['root'], 'the locks of the kernel', () => {
  describeLiveness('the locks of the kernel', LIFE_LOCKS.kernel.locks);

  for (const kind of ['kernel', 'sqlite'] as const) {
    for (const asked of ['kernel', 'sqlite'] as const) {
      test(`show that a process lives until it is killed: held by ${kind}, asked by ${asked}`, async () => {
        const directory = join(temporaryDirectory(), 'alive');
        const other = await otherLife(directory, kind);
        const here = Liveness.in(directory, LIFE_LOCKS[asked].locks());
        expect(here.isAlive(other.identity)).toBe(true);
        expect(here.isStopped(other.identity)).toBe(false);
        here.tidy();
        expect(here.dead()).toEqual([]);
        process.kill(other.pid, 'SIGSTOP');
        await expect.poll(() => here.isStopped(other.identity)).toBe(true);
        expect(here.isAlive(other.identity)).toBe(true);
        await other.kill();
        expect(here.isAlive(other.identity)).toBe(false);
        expect(here.isStopped(other.identity)).toBe(false);
        here.tidy();
        expect(readdirSync(directory)).toEqual([]);
      });
    }
  }

  test('tell of a process in a PID namespace of its own, and it of those outside', async () => {
    const directory = join(temporaryDirectory(), 'alive');
    const here = Liveness.in(directory, LIFE_LOCKS.kernel.locks());
    const other = await otherLife(directory, 'kernel', 'unshare', '--pid', '--fork', '--kill-child', '--mount-proc');
    // In there it has a pid that somebody else, or nobody, has out here.
    expect(other.identity.split('.')[1]).not.toBe(String(other.pid));
    expect(here.isAlive(other.identity)).toBe(true);
    await other.kill();
    // Only `unshare` is dead yet; the kernel then ends what it had started.
    await expect.poll(() => here.isAlive(other.identity), { timeout: 30_000 }).toBe(false);
    here.close();
  });

  test('do not take a stopped process for the one that has the same number in another PID namespace', async () => {
    const directory = join(temporaryDirectory(), 'alive');
    const here = Liveness.in(directory, LIFE_LOCKS.kernel.locks());
    const stopped = await otherLife(directory);
    const elsewhere = await otherLife(directory);
    process.kill(stopped.pid, 'SIGSTOP');
    await expect.poll(() => here.isStopped(stopped.identity)).toBe(true);
    expect(here.isStopped(`${elsewhere.identity.split('.')[0]}.${stopped.pid}`)).toBe(false);
    expect(here.isStopped(stopped.identity)).toBe(true);
  });

  test('are taken to be held where that cannot be found out', () => {
    const directory = join(temporaryDirectory(), 'alive');
    const here = Liveness.in(directory, LIFE_LOCKS.kernel.locks());
    const { identity } = here;
    const denying = () => ({
      ...loadSyscalls(),
      openLockFile: () => {
        throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
      },
    });
    const other = Liveness.in(directory, new KernelLifeLocks(denying as never));
    here.close();
    expect(other.isAlive(identity)).toBe(true);
    expect(here.isAlive(identity)).toBe(false);
  });

  test('two processes that begin and tidy at the same time never take each other for dead', async () => {
    const directory = join(temporaryDirectory(), 'alive');
    const code = `
      ${LIFE_LOCKS.kernel.code}
      for (let round = 0; round < 2000; round++) {
        const own = Liveness.in(${JSON.stringify(directory)}, locks);
        const asks = Liveness.in(${JSON.stringify(directory)}, locks);
        const { identity } = own;
        asks.tidy();
        if (!asks.isAlive(identity)) throw new Error('round ' + round + ': taken for dead');
        own.close();
        // Somebody who tidies may hold the lock for the moment that it takes to remove the file.
        while (asks.isAlive(identity));
      }`;
    const racers = Array.from({ length: 3 }, () => spawn(process.execPath, ['--input-type=module', '-e', code]));
    const statuses = await Promise.all(racers.map((racer) => once(racer, 'exit').then(([status]) => status)));
    expect(statuses).toEqual([0, 0, 0]);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe.skipIf(process.getuid?.() !== 0)('a life of another user', () => {
  test('counts as alive for one who may not look at its file', async () => {
    const directory = join(temporaryDirectory(), 'alive');
    mkdirSync(directory, { mode: 0o755 });
    chmodSync(join(directory, '..'), 0o755);
    const here = Liveness.in(directory, LIFE_LOCKS.kernel.locks());
    const { identity } = here;
    chownSync(directory, 0, 0);
    const code = `
      ${LIFE_LOCKS.kernel.code}
      process.setuid(65534);
      process.stdout.write(String(Liveness.in(${JSON.stringify(directory)}, locks).isAlive('${identity}')));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    expect(said).toBe('true');
    here.close();
  });
});
