import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { CheckReport, Provisioner } from '#src/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import type { LockFile } from '#src/system/syscalls/lock-file.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { type OtherProcess, otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';

const CLI = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const IMAGE = buildImage([
  buildLayer([{ path: 'etc/motd', content: 'welcome' }]),
  buildLayer([{ path: 'etc/hosts', content: 'localhost' }]),
]);

async function layout(): Promise<string> {
  const directory = join(temporaryDirectory(), 'layout');
  await writeOciLayout(directory, [{ image: IMAGE, refName: 'app' }]);
  return `oci:${directory}`;
}

/** Checks over and over until another process is done. @returns what any of the checks found but notes, and how many checks there were */
async function checkUntilDone(
  p: Provisioner,
  other: OtherProcess,
  repair: boolean,
): Promise<{ found: string[]; checks: number }> {
  let ended = false;
  other.done.finally(() => (ended = true)).catch(() => {});
  const found: string[] = [];
  let checks = 0;
  while (!ended) {
    const { findings }: CheckReport = await p.store.check({ repair });
    checks++;
    found.push(
      ...findings.filter(({ severity }) => severity !== 'note').map(({ code, message }) => `${code}: ${message}`),
    );
  }
  await other.done;
  return { found, checks };
}

describeWith(['root', 'overlay'], 'a check of a store that others use', () => {
  test.each([
    ['finds nothing wrong', false],
    ['has nothing to repair', true],
  ])('%s while another process pulls, provisions, destroys and prunes', async (_, repair) => {
    const p = await openStore({ unsafeNoSync: true });
    const source = await layout();
    const other = otherProcess(
      p.root,
      `for (let round = 0; round < 60; round++) {
        await p.images.pull('${source}', { name: 'app' });
        for (const backend of ['overlay', 'copy']) await p.provision('job', 'app', { backend });
        await p.destroy('job');
        await p.images.remove('app');
        await p.pruneImages([]);
      }
      await p.close();`,
      { unsafeNoSync: true },
    );
    const { found, checks } = await checkUntilDone(p, other, repair);
    expect(found).toEqual([]);
    expect(checks).toBeGreaterThan(10);
  });

  test('misses none of the root filesystems that a long destroy has taken away and not forgotten yet', async () => {
    const p = await openStore({ unsafeNoSync: true });
    await p.images.pull(await layout(), { name: 'app' });
    for (let n = 0; n < 50; n++) await p.provision('big', 'app', { backend: 'copy' });
    await p.store.check();
    const other = otherProcess(
      p.root,
      `import fs from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      const remove = fs.rmdirSync;
      fs.rmdirSync = (...path) => { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2); remove(...path); };
      syncBuiltinESMExports();
      say('begins');
      await p.destroy('big');
      await p.close();`,
      { unsafeNoSync: true },
    );
    await other.says('begins');
    const { found, checks } = await checkUntilDone(p, other, false);
    expect(found).toEqual([]);
    expect(checks).toBeGreaterThan(0);
  });

  test('still tells of what is wrong when all is quiet', async () => {
    const p = await openStore();
    await p.images.pull(await layout(), { name: 'app' });
    const stray = join(p.root, 'layers', 'ab'.repeat(32));
    mkdirSync(join(stray, 'rootfs'), { recursive: true });
    const rootfs = join(p.root, 'containers/pod/containers/job/backends/copy/rootfses/none');
    mkdirSync(rootfs, { recursive: true });
    const { findings } = await p.store.check();
    expect(findings.map(({ code, subject }) => [code, subject])).toEqual([
      ['ROOTFS_UNRECORDED', rootfs],
      ['LAYER_UNRECORDED', stray],
    ]);
  });
});

describeWith(['root'], 'a check that waits for the lock', () => {
  const children: ChildProcess[] = [];
  const held: LockFile[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    for (const lock of held.splice(0)) lock.close();
  });

  /** @returns milliseconds from Ctrl-C to the end of `check --repair`, which waits for a lock that somebody else holds */
  async function interrupted(root: string): Promise<{ status: number | null; took: number }> {
    const lock = loadSyscalls().openLockFile(join(root, 'lock'));
    held.push(lock);
    expect(lock.tryLock('shared')).toBe(true);
    const child = spawn(process.execPath, [CLI, '--root', root, 'check', '--repair'], { stdio: 'ignore' });
    children.push(child);
    const ended = once(child, 'exit') as Promise<[number | null]>;
    while (!lock.hasForeignWriter()) await sleep(10);
    const began = performance.now();
    child.kill('SIGINT');
    const [status] = await Promise.race([ended, sleep(10_000).then(() => [null] as [null])]);
    return { status, took: performance.now() - began };
  }

  test('to look once more at what seems wrong ends within a second of Ctrl-C', async () => {
    const p = await openStore();
    mkdirSync(join(p.root, 'layers', 'ab'.repeat(32)));
    const { status, took } = await interrupted(p.root);
    expect(status).toBe(130);
    expect(took).toBeLessThan(1000);
  });

  test('to put a fresh copy in the place of a damaged layer ends within a second of Ctrl-C, and leaves nothing', async () => {
    const p = await openStore();
    const { layers } = await p.images.pull(await layout(), { name: 'app' });
    const directory = join(p.root, 'layers', (layers[0] as string).slice('sha256:'.length));
    appendFileSync(join(directory, 'rootfs/etc/motd'), '!');
    const { status, took } = await interrupted(p.root);
    expect(status).toBe(130);
    expect(took).toBeLessThan(1000);
    held.splice(0).forEach((lock) => {
      lock.close();
    });
    await p.recover();
    const { findings } = await p.store.check();
    expect(findings.filter(({ severity }) => severity !== 'note').map(({ code }) => code)).toEqual(['LAYER_DAMAGED']);
    expect(findings.map(({ code }) => code)).not.toContain('STAGING_LEFT');
  });

  test('ends when it is told how long to wait', async () => {
    const p = await openStore({ lockTimeout: 50 });
    mkdirSync(join(p.root, 'layers', 'ab'.repeat(32)));
    const lock = loadSyscalls().openLockFile(join(p.root, 'lock'));
    held.push(lock);
    expect(lock.tryLock('shared')).toBe(true);
    await expect(p.store.check()).rejects.toMatchObject({ code: 'ERR_LOCK_TIMEOUT' });
  });
});
