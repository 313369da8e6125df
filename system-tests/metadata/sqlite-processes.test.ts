import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { SqliteMetadataManager } from '#src/metadata/sqlite/sqlite-metadata-manager.js';
import { digestOf, image, layer, putLayers, rootfs } from '../../native-free-tests/contracts/metadata-records.js';
import { Driver, databasePath, faults } from './sqlite-files.js';

const path = databasePath();
const repository = fileURLToPath(new URL('../..', import.meta.url));

/** What each child begins with; `path` and `name` are its arguments. */
const PREAMBLE = `
import { writeSync, openSync, closeSync, unlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqliteMetadataManager } from '#src/metadata/sqlite/sqlite-metadata-manager.js';
import { KernelLifeLocks } from '#src/system/locks/life-locks.js';
import { Liveness } from '#src/system/locks/liveness.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
const [path, name, layer, image] = process.argv.slice(1);
const { identity: me, isAlive } = Liveness.in(path + '.alive', new KernelLifeLocks(loadSyscalls));
const rootfs = (id, containerId) => ({ id, containerId, owner: name, image, backend: 'overlay' });
const say = (text) => writeSync(1, text + '\\n');
`;

const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

interface Child {
  readonly process: ChildProcess;
  /** The whole lines that it has said so far. */
  lines(): string[];
  /** Resolves to the lines when it has ended; rejects when it failed. */
  readonly done: Promise<string[]>;
}

function start(body: string, name = 'child'): Child {
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', PREAMBLE + body, path(), name, digestOf('base'), digestOf('image app')],
    {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  children.add(child);
  let output = '';
  let errors = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  child.stderr.on('data', (data) => {
    errors += data;
  });
  const lines = () => output.split('\n').slice(0, -1);
  const done = once(child, 'close').then(([code, signal]) => {
    if (code !== 0 && signal !== 'SIGKILL') throw new Error(`${name} failed: ${errors}`);
    return lines();
  });
  done.catch(() => undefined);
  return { process: child, lines, done };
}

async function storeWithImage(): Promise<void> {
  const manager = await SqliteMetadataManager.open(path());
  await putLayers(manager, 'base');
  await manager.putImage(image('app', ['base', 'base']), ['app:latest']);
  await manager.close();
}

describe('several processes on one store', () => {
  it('may all open a store that does not exist yet at the same moment', async () => {
    const stores = 10;
    const body = `
      for (let store = 0; store < ${stores}; store += 1) {
        await sleep(Number(name) + store * 40 - Date.now());
        const manager = await SqliteMetadataManager.open(path + store);
        await manager.openLease(String(process.pid), me);
        say(process.pid);
        await manager.close();
      }`;
    const moment = String(Date.now() + 1500);
    const said = await Promise.all(Array.from({ length: 6 }, () => start(body, moment).done));
    for (let store = 0; store < stores; store += 1) {
      const manager = await SqliteMetadataManager.open(path() + store);
      expect((await manager.listLeases()).map(({ pull }) => pull).sort()).toEqual(said.map(([pid]) => pid).sort());
      await manager.close();
      expect(faults(path() + store)).toEqual([]);
    }
  });

  it('lose none of their writes when all write at once', async () => {
    await storeWithImage();
    const body = `
      const manager = await SqliteMetadataManager.open(path);
      for (let index = 0; index < 200; index += 1) {
        const container = name + '/' + index;
        await manager.putRootfs(rootfs('same', container), me);
        await manager.finishRootfs(rootfs('same', container));
        if (index % 2 !== 0) await manager.forgetRootfses(await manager.rootfsesIn(container));
      }
      await manager.close();`;
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map((name) => start(body, name).done));
    const manager = await SqliteMetadataManager.open(path());
    for (const name of names) {
      const containers = await manager.listContainers(name);
      const expected = Array.from({ length: 100 }, (_, index) => `${name}/${index * 2}`).sort();
      expect(containers.map((container) => container.id)).toEqual(expected);
      expect(containers.every((container) => container.rootfses[0]?.state === 'ready')).toBe(true);
    }
    await manager.close();
    expect(faults(path())).toEqual([]);
  });

  it('hold the claim on a layer one at a time, whether they make it or take it away', async () => {
    await storeWithImage();
    const body = `
      const manager = await SqliteMetadataManager.open(path);
      const record = { id: '', bytes: 1, entries: 1, opaqueRoot: false, whiteouts: false, describesRoot: false, tar: 'off', tarBytes: 0 };
      record.id = layer.slice(0, -1) + (layer.endsWith('0') ? '1' : '0');
      // Fails when another process is between these two lines.
      const alone = async () => {
        closeSync(openSync(path + '.alone', 'wx'));
        await sleep(2);
        unlinkSync(path + '.alone');
      };
      for (let index = 0; index < 40; index += 1) {
        for (;;) {
          const claim = await manager.claimLayer(record.id, me, isAlive);
          if (claim.state === 'claimed') {
            await alone();
            await manager.putLayers([record]);
            say('made');
          }
          if (claim.state !== 'busy') break;
          if (!isAlive(claim.holder)) throw new Error('held by the dead');
          await sleep(1);
        }
        const { layers } = await manager.removeUnused({ images: [], layers: [record.id] }, me, false);
        // Another one was faster: nothing to remove, and so no claim.
        if (layers.length === 0) continue;
        await alone();
        await manager.releaseLayerClaims(me, layers);
        say('removed');
      }
      await manager.close();`;
    const said = (await Promise.all(['a', 'b', 'c'].map((name) => start(body, name).done))).flat();
    const manager = await SqliteMetadataManager.open(path());
    const made = said.filter((line) => line === 'made').length;
    const removed = said.filter((line) => line === 'removed').length;
    expect(made - removed).toBe((await manager.listLayers()).length - 1);
    expect(removed).toBeGreaterThan(0);
    await manager.close();
    expect(faults(path())).toEqual([]);
  });

  it('take nothing away that another one takes up at the same moment', async () => {
    await storeWithImage();
    const remover = `
      const manager = await SqliteMetadataManager.open(path);
      say('going');
      for (let index = 0; index < 150; index += 1) {
        const images = await manager.listImages();
        const layers = (await manager.listLayers()).map(({ id }) => id);
        const removed = await manager.removeUnused({ images, layers }, me, false);
        await manager.releaseLayerClaims(me);
        if (removed.images.length > 0) say('removed');
        await sleep(1);
      }
      await manager.close();`;
    const user = `
      const manager = await SqliteMetadataManager.open(path);
      const record = { id: layer, bytes: 1, entries: 1, opaqueRoot: false, whiteouts: false, describesRoot: false, tar: 'off', tarBytes: 0 };
      const documents = { mediaType: 'm', manifest: '{}', configDigest: 'c', config: '{}', platform: 'p', source: 's' };
      for (let index = 0; index < 150; index += 1) {
        const pull = name + index;
        await manager.openLease(pull, me);
        await manager.leaseLayers(pull, [layer]);
        await manager.putLayers([record]);
        await manager.putImage({ id: image, layers: [layer, layer], ...documents }, []);
        await manager.closeLeases([pull]);
        try {
          await manager.putRootfs(rootfs(pull, 'job'));
        } catch (error) {
          if (error.code !== 'ERR_IMAGE_NOT_FOUND') throw error;
          continue;
        }
        await sleep(1);
        const [made] = (await manager.getContainer('job'))?.rootfses ?? [];
        if (made === undefined || made.layers.length !== 2) throw new Error('its layers are gone');
        if ((await manager.missingLayers([layer])).length > 0) throw new Error('the layer is gone');
        await manager.forgetRootfses([rootfs(pull, 'job')]);
        say('used');
      }
      await manager.close();`;
    const [removed, used] = await Promise.all([start(remover, 'r').done, start(user, 'u').done]);
    expect(removed.filter((line) => line === 'removed').length).toBeGreaterThan(0);
    expect(used.filter((line) => line === 'used').length).toBeGreaterThan(0);
    expect(faults(path())).toEqual([]);
  });
});

describe('a busy store', () => {
  /** Another connection that is in the middle of a write. */
  async function writerAtWork(): Promise<{ stop(): void }> {
    await storeWithImage();
    const writer = new Driver(path());
    writer.exec('BEGIN IMMEDIATE');
    return {
      stop() {
        writer.exec('ROLLBACK');
        writer.close();
      },
    };
  }

  it('is waited for without blocking the event loop, and reads do not wait', async () => {
    const writer = await writerAtWork();
    const manager = await SqliteMetadataManager.open(path());
    let [last, longest, settled] = [performance.now(), 0, false];
    const ticks = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 5);
    const write = manager.putLayers([layer('top')]).then(() => {
      settled = true;
    });
    await sleep(100);
    expect(await manager.getLayer(digestOf('base'))).toBeDefined();
    await sleep(400);
    expect(settled).toBe(false);
    writer.stop();
    await write;
    clearInterval(ticks);
    // A wait inside SQLite would be one gap of 500 ms.
    expect(longest).toBeLessThan(200);
    expect(await manager.getLayer(digestOf('top'))).toBeDefined();
    await manager.close();
  });

  it('is given up after busyTimeout with ERR_STORE_BUSY, and nothing has changed', async () => {
    const writer = await writerAtWork();
    const manager = await SqliteMetadataManager.open(path(), { busyTimeout: 150 });
    const started = performance.now();
    await expect(manager.putLayers([layer('top')])).rejects.toMatchObject({
      code: 'ERR_STORE_BUSY',
      hint: expect.any(String),
      cause: expect.objectContaining({ code: 'SQLITE_BUSY' }),
    });
    expect(performance.now() - started).toBeGreaterThanOrEqual(150);
    expect(performance.now() - started).toBeLessThan(1000);
    writer.stop();
    expect(await manager.missingLayers([digestOf('top')])).toEqual([digestOf('top')]);
    await manager.putLayers([layer('top')]);
    await manager.close();
  });

  it('lets go of the calls that wait for it when the manager is closed', async () => {
    const writer = await writerAtWork();
    const manager = await SqliteMetadataManager.open(path());
    const waiting = manager.putLayers([layer('top')]);
    await manager.close();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    writer.stop();
  });
});

describe('a process that is killed while it writes', () => {
  it('loses nothing that it reported as done, and leaves a store that others can use', async () => {
    await storeWithImage();
    const body = `
      const manager = await SqliteMetadataManager.open(path);
      for (let index = 0; ; index += 1) {
        const id = name + '-' + index;
        await manager.putRootfs(rootfs(id, id), index % 2 === 0 ? me : undefined);
        if (index % 2 === 0) await manager.finishRootfs(rootfs(id, id));
        say('ready ' + id);
        if (index % 3 !== 0) continue;
        await manager.forgetRootfses([rootfs(id, id)]);
        say('gone ' + id);
      }`;
    for (let round = 0; round < 8; round += 1) {
      const name = `round${round}`;
      const child = start(body, name);
      while (child.lines().length === 0 && child.process.exitCode === null) await sleep(1);
      await sleep(Math.random() * 120);
      child.process.kill('SIGKILL');
      const said = await child.done;
      expect(said.length).toBeGreaterThan(0);

      const manager = await SqliteMetadataManager.open(path());
      const states = new Map(
        (await manager.listContainers(name)).flatMap(({ rootfses }) => rootfses.map(({ id, state }) => [id, state])),
      );
      // The one record that it was at when it died may be in any state.
      const last = said.length - 1;
      const gone = new Set(said.flatMap((line) => (line.startsWith('gone ') ? [line.slice(5)] : [])));
      for (const [index, line] of said.entries()) {
        const [word, id = ''] = line.split(' ');
        if (word === 'gone') expect(states.has(id), line).toBe(false);
        else if (index !== last && !gone.has(id)) expect(states.get(id), line).toBe('ready');
      }
      expect([...states.values()].filter((state) => state !== 'ready').length).toBeLessThanOrEqual(1);
      // What it left half made is in nobody's way.
      for (const id of states.keys()) await manager.forgetRootfses([rootfs(id, id)]);
      expect(await manager.listContainers(name)).toEqual([]);
      await manager.putRootfs(rootfs(`after ${round}`, `after-${round}`));
      await manager.close();
      expect(faults(path())).toEqual([]);
    }
  });
});
