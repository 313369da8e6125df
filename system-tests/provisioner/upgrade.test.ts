import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { isRetryable, Provisioner } from '#src/index.js';
import { MIGRATIONS } from '#src/metadata/sqlite/migrations.js';
import { StorePaths } from '#src/paths.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { makeOlder } from '../helpers/older-store.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages } from '../helpers/test-store.js';
import { Driver, inspect } from '../metadata/sqlite-files.js';

const app = buildImage([buildLayer([{ path: 'app', content: 'app' }])]);
const SQLITE = import.meta.resolve('better-sqlite3');

const newest = MIGRATIONS.at(-1)?.version ?? 0;
const versionOf = (root: string) =>
  inspect(new StorePaths(root).metadata, (database) => database.pragma('user_version', { simple: true }));

/** Takes back by hand what versions 3 and later ones added, on a store that nobody has open. */
function bringToVersion2(root: string): void {
  makeOlder(root);
  const paths = new StorePaths(root);
  rmSync(paths.generation);
  inspect(paths.metadata, (database) =>
    database.exec(`
      ALTER TABLE state DROP COLUMN records_id;
      ALTER TABLE state DROP COLUMN generation;
      ALTER TABLE image DROP COLUMN use_order;
      PRAGMA user_version = 2;`),
  );
  expect(versionOf(root)).toBe(2);
}

/** A store of an older release, with an image and a mounted container. @returns its root, and the container's root filesystem */
async function olderStore(): Promise<{ root: string; rootfs: string }> {
  const p = await openStore({ tarRecords: false });
  await pullImages(p, { app });
  const { rootfs } = await p.provision('job', 'app', { backend: 'overlay' });
  writeFileSync(join(rootfs, 'changed'), 'by the container');
  await p.close();
  bringToVersion2(p.root);
  return { root: p.root, rootfs };
}

const olderProcesses: ChildProcess[] = [];
afterEach(async () => {
  for (const child of olderProcesses.splice(0)) await kill(child);
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** A process that has the records open as every release has: with a write-ahead log, from its first look on. It does nothing with them. */
async function olderProcess(root: string): Promise<ChildProcess & { readonly pid: number }> {
  const code = `
    import Driver from '${SQLITE}';
    const database = new Driver(${JSON.stringify(new StorePaths(root).metadata)}, { timeout: 0 });
    database.pragma('journal_mode = WAL');
    database.prepare('SELECT count(*) FROM layer').get();
    console.log('open');
    setInterval(() => database, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  olderProcesses.push(child);
  await once(child.stdout, 'data');
  if (child.pid === undefined) throw new Error('it has not begun');
  return Object.assign(child, { pid: child.pid });
}

async function failureOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

describeWith(['root', 'overlay'], 'a store of an older release', () => {
  test('is brought up to date by the first who opens it, and its containers go on', async () => {
    const { root, rootfs } = await olderStore();
    const p = await openStore({ root });
    expect(versionOf(root)).toBe(newest);
    expect(mountsBelow(root)).toEqual([rootfs]);
    expect(readFileSync(join(rootfs, 'changed'), 'utf8')).toBe('by the container');
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['job']);
    expect(await p.recover()).toMatchObject({ recordsGap: null, remounted: [], untrusted: [], failed: [] });
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('app');
    expect((await p.store.check()).sound).toBe(true);
    expect(await p.destroy('job')).toBe(true);
    await expectNoContainers(p);
  });

  test('is left as it is while others have it open, who are named; and is brought up to date when they are gone', async () => {
    const { root, rootfs } = await olderStore();
    const others = [await olderProcess(root), await olderProcess(root)];
    const pids = others.map(({ pid }) => pid).sort((one, other) => one - other);
    const error = await failureOf(() => Provisioner.open({ root }));
    expect(error).toMatchObject({
      code: 'ERR_STORE_IN_USE',
      message: expect.stringContaining(`process ${pids[0]} and process ${pids[1]} have them open`),
      hint: expect.stringContaining('containers may go on'),
      details: { pids: pids.map(String) },
    });
    expect(isRetryable(error)).toBe(true);
    expect(versionOf(root)).toBe(2);
    expect(readFileSync(join(rootfs, 'changed'), 'utf8')).toBe('by the container');

    for (const other of others) await kill(other);
    const p = await openStore({ root });
    expect(versionOf(root)).toBe(newest);
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['job']);
    expect(readFileSync(join(rootfs, 'changed'), 'utf8')).toBe('by the container');
    expect(await p.destroy('job')).toBe(true);
    await expectNoContainers(p);
  });

  test('is left as it is while this very process has it open otherwise, which is told apart', async () => {
    const { root } = await olderStore();
    const database = new Driver(new StorePaths(root).metadata, { timeout: 0 });
    try {
      database.prepare('SELECT count(*) FROM layer').get();
      expect(await failureOf(() => Provisioner.open({ root }))).toMatchObject({
        code: 'ERR_STORE_IN_USE',
        message: expect.stringContaining(`this process (${process.pid})`),
      });
    } finally {
      database.close();
    }
    await openStore({ root });
  });

  test('waits for a command that is just ending', async () => {
    const { root } = await olderStore();
    const other = await olderProcess(root);
    const opening = openStore({ root });
    await sleep(200);
    expect(versionOf(root)).toBe(2);
    await kill(other);
    await opening;
    expect(versionOf(root)).toBe(newest);
  });

  test('is brought up to date once when many open it at the same time, and all of them work on it', async () => {
    const { root } = await olderStore();
    const body =
      "say((await p.containers.list()).map(({ id }) => id).join()); await p.images.tag('app', 'other'); await p.close();";
    const others = Array.from({ length: 6 }, () => otherProcess(root, body));
    expect(await Promise.all(others.map(({ done }) => done))).toEqual(Array.from({ length: 6 }, () => ['job']));
    expect(versionOf(root)).toBe(newest);
    const p = await openStore({ root });
    expect(await p.recover()).toMatchObject({ recordsGap: null });
    expect((await p.images.list()).flatMap(({ names }) => names)).toHaveLength(2);
  });
});

describeWith(['root', 'overlay'], 'a store of a newer release', () => {
  test('is refused in words, and left as it is', async () => {
    const p = await openStore();
    await pullImages(p, { app });
    await p.close();
    inspect(new StorePaths(p.root).metadata, (database) => database.exec(`PRAGMA user_version = ${newest + 1}`));
    expect(await failureOf(() => Provisioner.open({ root: p.root }))).toMatchObject({
      code: 'ERR_STORE_FORMAT',
      message: expect.stringMatching(
        new RegExp(`have format version ${newest + 1}, and this release reads versions up to ${newest}$`),
      ),
      hint: expect.stringContaining('the release of provisioner that wrote them'),
    });
    expect(versionOf(p.root)).toBe(newest + 1);
  });
});
