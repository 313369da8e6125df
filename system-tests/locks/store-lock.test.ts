import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import { NativeLockFile } from '#src/system/syscalls/native/native-lock-file.js';
import { atOnce } from '../../native-free-tests/helpers/at-once.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { APP_V2, madeStore, pulledStore } from '../cli/run-cli.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

/** What another process begins with to hold the lock of the store, not just use it. */
const LOCK = `
  const { StoreLock } = await import('${new URL('../../build/system/locks/store-lock.js', import.meta.url).href}');
  const { NativeLockFile } = await import('${new URL('../../build/system/syscalls/native/native-lock-file.js', import.meta.url).href}');
  const lock = new StoreLock(() => new NativeLockFile(p.root + '/lock'));
`;
const HOLD_FOR_EVER = {
  shared: `${LOCK} await lock.withShared(async () => { say('holding'); await sleep(600_000); });`,
  exclusive: `${LOCK} await lock.withExclusive('prune', async () => { say('holding'); await sleep(600_000); });`,
} as const;

const app = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);

async function storeWithImage() {
  const p = await openStore();
  await pullImages(p, { app });
  return p;
}

/** Those that it is told from now on. */
function warningsOf(p: Provisioner) {
  const warnings: { code: string; message: string; details: Record<string, unknown> }[] = [];
  p.events.on('warning', (warning) => void warnings.push(warning));
  return warnings;
}

describe.skipIf(process.platform !== 'linux')('the native lock file', () => {
  function files(count: number) {
    const path = join(temporaryDirectory(), 'lock');
    return Array.from({ length: count }, () => new NativeLockFile(path)) as [
      NativeLockFile,
      NativeLockFile,
      NativeLockFile,
    ];
  }

  test('holds many readers or one writer, per open file, and is free when one is closed', () => {
    const [a, b, c] = files(3);
    expect([a.tryLock('shared'), b.tryLock('shared'), c.tryLock('exclusive')]).toEqual([true, true, false]);
    expect(a.holders()).toEqual([
      { pid: process.pid, kind: 'shared', stopped: false },
      { pid: process.pid, kind: 'shared', stopped: false },
    ]);
    a.unlock();
    b.close();
    expect([c.tryLock('exclusive'), a.tryLock('shared'), a.tryLock('exclusive')]).toEqual([true, false, false]);
    expect(a.holders()).toEqual([{ pid: process.pid, kind: 'exclusive', stopped: false }]);
    c.close();
    expect(a.tryLock('exclusive')).toBe(true);
    a.close();
  });

  test('announces one writer, which the others see and it does not, beside the lock proper', () => {
    const [a, b, c] = files(3);
    expect([a.hasForeignWriter(), a.tryAnnounceWriter(), a.tryAnnounceWriter(), b.tryAnnounceWriter()]).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect([a.hasForeignWriter(), b.hasForeignWriter(), c.hasForeignWriter()]).toEqual([false, true, true]);
    expect(b.tryLock('shared')).toBe(true);
    a.withdrawWriter();
    expect([b.hasForeignWriter(), b.tryAnnounceWriter(), a.hasForeignWriter()]).toEqual([false, true, true]);
    b.close();
    expect(a.hasForeignWriter()).toBe(false);
    for (const file of [a, c]) file.close();
  });

  test('replaces its note, whatever stood there, and reads half of one as it is', () => {
    const [a, b] = files(2);
    expect(b.readNote()).toBe('');
    a.writeNote('a long note about what is done');
    a.writeNote('short');
    expect(b.readNote()).toBe('short');
    a.writeNote('');
    expect(b.readNote()).toBe('');
    for (const file of [a, b]) file.close();
  });

  test('is not handed to programs that this process starts', async () => {
    const [a, b] = files(2);
    a.tryLock('exclusive');
    const { spawn } = await import('node:child_process');
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      a.close();
      expect(b.tryLock('exclusive')).toBe(true);
    } finally {
      child.kill('SIGKILL');
      b.close();
    }
  });
});

describeWith(['root', 'overlay'], 'the lock of a store that another process holds', () => {
  test('alone: keeps provision, destroy and prune waiting, and lets pulls and lists go on', async () => {
    const p = await storeWithImage();
    await p.provision('before', 'app');
    const other = otherProcess(p.root, HOLD_FOR_EVER.exclusive);
    await other.says('holding');
    const done: string[] = [];
    const waiting = [
      p.provision('job', 'app').then(() => done.push('provision')),
      p.pruneImages(['app']).then(() => done.push('prune')),
      p.destroy('before').then(() => done.push('destroy')),
    ];
    await pullImages(p, { again: app, new: buildImage([buildLayer([{ path: 'new' }])]) });
    expect((await p.images.list()).length).toBe(2);
    expect(done).toEqual([]);
    expect((await p.store.info()).lock).toMatchObject({
      holders: [{ pid: other.pid, kind: 'exclusive' }],
      writer: { pid: other.pid, purpose: 'prune' },
    });
    await other.kill();
    await Promise.all(waiting);
    expect((await p.store.info()).lock).toEqual({ holders: [], writer: undefined });
  });

  test.each(['shared', 'exclusive'] as const)('%s: is free within a second when its holder is killed', async (kind) => {
    const p = await storeWithImage();
    const other = otherProcess(p.root, HOLD_FOR_EVER[kind]);
    await other.says('holding');
    const waiting = Promise.all([p.pruneImages(['app']), p.provision('job', 'app')]);
    await sleep(100);
    expect((await p.store.info()).lock.holders).toEqual([{ pid: other.pid, kind, stopped: false }]);
    await other.kill();
    const killed = performance.now();
    await waiting;
    expect(performance.now() - killed).toBeLessThan(1000);
  });

  test('shared: is shared by provisions of others, and a prune waits, seen by all, and can be cancelled', async () => {
    const p = await storeWithImage();
    const other = otherProcess(p.root, HOLD_FOR_EVER.shared);
    await other.says('holding');
    await p.provision('job', 'app');
    const abort = new AbortController();
    const pruning = p.pruneImages([], { signal: abort.signal });
    pruning.catch(() => {});
    await sleep(100);
    const { lock } = await p.store.info();
    expect(lock.writer).toMatchObject({ pid: process.pid, purpose: 'prune' });
    expect(Date.now() - (lock.writer?.since ?? 0)).toBeLessThan(10_000);
    abort.abort();
    await expect(pruning).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect((await p.store.info()).lock.writer).toBeUndefined();
    await p.provision('job-2', 'app');
  });

  test('is told by a warning of those who have waited for five seconds', async () => {
    await atOnce({
      'by a provision, with the process that holds it alone and what that does': async () => {
        const p = await storeWithImage();
        const warnings = warningsOf(p);
        const other = otherProcess(p.root, HOLD_FOR_EVER.exclusive);
        await other.says('holding');
        const waiting = p.provision('job', 'app');
        await expect.poll(() => warnings, { timeout: 10_000 }).toHaveLength(1);
        await sleep(500);
        expect(warnings).toMatchObject([
          {
            code: 'LOCK_WAIT',
            message: expect.stringContaining(`held by process ${other.pid} (prune)`),
            details: { pid: other.pid, purpose: 'prune', waited: expect.any(Number) },
          },
        ]);
        // A timer may come a fraction of a millisecond early.
        expect(warnings[0]?.details['waited']).toBeGreaterThanOrEqual(4990);
        expect(p.counters()).toMatchObject({ longWaits: 1, warnings: 1 });
        await other.kill();
        await waiting;
      },
      'by a prune, with a process that shares it and has been stopped, and not itself': async () => {
        const p = await storeWithImage();
        const warnings = warningsOf(p);
        const other = otherProcess(p.root, HOLD_FOR_EVER.shared);
        await other.says('holding');
        process.kill(other.pid, 'SIGSTOP');
        const waiting = [p.pruneImages(['app']), p.provision('job', 'app')];
        await expect.poll(() => warnings, { timeout: 10_000 }).toHaveLength(1);
        expect(warnings).toMatchObject([
          {
            code: 'LOCK_WAIT',
            message: expect.stringMatching(new RegExp(`held by process ${other.pid} \\(stopped\\)$`)),
            details: { holders: String(other.pid), stopped: String(other.pid) },
          },
        ]);
        expect(warnings[0]?.details).not.toHaveProperty('purpose');
        await other.kill();
        await Promise.all(waiting);
      },
    });
  });

  test.each(['shared', 'exclusive'] as const)(
    '%s: is waited for as long as --lock-timeout says, and its holder is named, and that it has been stopped',
    async (kind) => {
      const { run, root, lines } = await pulledStore(APP_V2, '--name', 'app');
      const other = otherProcess(root, HOLD_FOR_EVER[kind]);
      await other.says('holding');
      process.kill(other.pid, 'SIGSTOP');
      const what = kind === 'shared' ? 'stopped' : 'prune, stopped';
      const { status, stderr, stdout } = await run(['prune', '--lock-timeout', '0.5s']);
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(stderr).toMatch(
        new RegExp(
          `^provisioner: the store's lock did not come free within 5\\d\\d ms, held by process ${other.pid} \\(${what}\\)$`,
          'm',
        ),
      );
      expect(stderr).toContain(`kill -CONT ${other.pid}`);
      const provision = await run(['provision', 'job', 'app', '--lock-timeout', '0.5s', '--json']);
      if (kind === 'shared') expect(provision.status).toBe(0);
      else {
        expect(JSON.parse(provision.stderr)).toMatchObject({
          error: { code: 'ERR_LOCK_TIMEOUT', details: { holders: [String(other.pid)], stopped: [String(other.pid)] } },
        });
      }
      expect((await lines('info')).find((line) => line.startsWith('lock:'))).toContain('stopped');
      process.kill(other.pid, 'SIGCONT');
      await other.kill();
      await run(['destroy', 'job']);
    },
  );

  test('is shown by `provisioner info`: who, what for, for how long', async () => {
    const { lines, json, root } = await madeStore();
    expect(await lines('info')).toContain('lock:         free');
    const other = otherProcess(root, HOLD_FOR_EVER.exclusive);
    await other.says('holding');
    const shown = (await lines('info')).find((line) => line.startsWith('lock:'));
    expect(shown).toMatch(new RegExp(`process ${other.pid} \\(prune\\), for \\d+ seconds?, holds it alone$`));
    expect(await json('info')).toMatchObject({
      lock: {
        holders: [{ pid: other.pid, kind: 'exclusive' }],
        writer: { pid: other.pid, purpose: 'prune', since: expect.any(Number) },
      },
    });
    await other.kill();
    expect(await lines('info')).toContain('lock:         free');
  });
});

describeWith(['root', 'overlay'], 'processes that take the lock all the time', () => {
  test('never hold it in ways that exclude each other', async () => {
    const p = await storeWithImage();
    const log = join(temporaryDirectory(), 'log');
    writeFileSync(log, '');
    const body = `${LOCK}
      const { appendFileSync } = await import('node:fs');
      const name = process.pid;
      for (let index = 0; index < 60; index++) {
        const writes = index % 10 === 9;
        const work = async () => {
          appendFileSync('${log}', (writes ? 'W' : 'R') + ' ' + name + '\\n');
          await sleep(Math.random() * 3);
          appendFileSync('${log}', (writes ? 'w' : 'r') + ' ' + name + '\\n');
        };
        await (writes ? lock.withExclusive('w', work) : lock.withShared(work));
      }
      await p.close();`;
    await Promise.all(Array.from({ length: 4 }, () => otherProcess(p.root, body).done));
    let [readers, writers, most] = [0, 0, 0];
    const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
    for (const [kind] of lines) {
      if (kind === 'R') readers += 1;
      if (kind === 'r') readers -= 1;
      if (kind === 'W') writers += 1;
      if (kind === 'w') writers -= 1;
      most = Math.max(most, readers);
      expect(writers === 0 || (writers === 1 && readers === 0)).toBe(true);
    }
    expect(lines).toHaveLength(4 * 60 * 2);
    expect(most).toBeGreaterThan(1);
    expect(p).toBeDefined();
  });
});

describeWith(['root', 'overlay'], 'two provisioners of one process', () => {
  test('exclude each other as two processes do, and a closed one holds nothing', async () => {
    const one = await storeWithImage();
    const two = await openStore({ root: one.root });
    const holder = new StoreLock(() => new NativeLockFile(join(one.root, 'lock')));
    let finish = () => {};
    const held = holder.withExclusive('test', () => new Promise<void>((resolve) => (finish = resolve)));
    await sleep(20);
    const done: string[] = [];
    const waiting = [one, two].map((p, index) => p.provision(`job-${index}`, 'app').then(() => done.push('made')));
    await sleep(100);
    expect(done).toEqual([]);
    finish();
    await Promise.all([held, ...waiting]);
    expect(done).toHaveLength(2);

    // Prunes of both and provisions of both at once: all come to their end.
    await Promise.all([
      one.pruneImages(['app']),
      two.pruneImages(['app']),
      one.provision('a', 'app'),
      two.provision('b', 'app'),
    ]);
    await two.close();
    expect(holder.state()).toEqual({ holders: [], writer: undefined });
    holder.close();
    await one.pruneImages(['app']);
    expect((await one.containers.list()).map(({ id }) => id)).toEqual(['a', 'b', 'job-0', 'job-1']);
  });
});
