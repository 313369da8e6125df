import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Provisioner, RecoveryReport } from '#src/index.js';
import { StorePaths } from '#src/paths.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { otherLife } from '../helpers/other-life.js';
import { otherProcess } from '../helpers/other-process.js';
import { reboot, unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }, { path: 'etc/old', content: 'old' }]);
const v1 = buildImage([base, buildLayer([{ path: 'app', content: 'v1' }])]);
const v2 = buildImage([base, buildLayer([{ path: 'app', content: 'v2' }])]);

async function storeWith(...containers: string[]): Promise<Provisioner> {
  const p = await openStore();
  await pullImages(p, { 'app:v1': v1, 'app:v2': v2 });
  for (const id of containers) await p.provision(id, 'app:v1');
  return p;
}

const NOTHING: RecoveryReport = {
  recordsGap: null,
  droppedLeases: [],
  forgottenLayers: [],
  forgottenImages: [],
  retired: [],
  remounted: [],
  finished: [],
  destroyed: [],
  untrusted: [],
  kept: [],
  failed: [],
  foreign: [],
};

/** After a recovery: what stands on disk is what the records account for, and a second one has nothing to do. */
async function expectRecovered(p: Provisioner, foreign: readonly string[] = []): Promise<void> {
  await p.store.swept();
  expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
  expect(readdirSync(join(p.root, 'staging'))).toEqual([]);
  const report = await p.recover();
  expect({ ...report, foreign: [...report.foreign].sort() }).toEqual({ ...NOTHING, foreign: [...foreign].sort() });
}

function records<T>(p: Provisioner, work: (database: InstanceType<typeof Driver>) => T): T {
  const database = new Driver(join(p.root, 'metadata.sqlite'));
  try {
    return work(database);
  } finally {
    database.close();
  }
}

describeWith(['root', 'overlay'], 'a directory of the host that is mounted below the containers', () => {
  test.each(['foo', 'foo/backends', 'foo/backends/copy', 'foo/backends/copy/rootfses', 'job/containers'])(
    'at %s keeps all that is in it, is told by recover, and the others go on',
    async (place) => {
      const p = await storeWith('job');
      const host = temporaryDirectory();
      for (const name of ['backends', 'containers/child', 'copy/rootfses', 'empty']) {
        mkdirSync(join(host, name), { recursive: true });
      }
      const before = readdirSync(host, { recursive: true });
      const target = join(p.root, 'containers', place);
      mkdirSync(target, { recursive: true });
      execFileSync('mount', ['--bind', host, target]);
      try {
        const { failed } = await p.recover({ knownContainerIds: [] });
        expect(failed.map(({ path }) => path)).toContain(target);
        expect(readdirSync(host, { recursive: true })).toEqual(before);
      } finally {
        execFileSync('umount', ['--lazy', target]);
      }
      await p.recover({ knownContainerIds: [] });
      await p.destroy('foo').catch(() => {});
      expect(readdirSync(host, { recursive: true })).toEqual(before);
    },
  );
});

describeWith(['root', 'overlay'], 'recovery after a reboot', () => {
  test('mounts the known containers again with their changes, and destroys the others, children first', async () => {
    const before = await storeWith('known', 'known/child', 'unknown', 'unknown/child', 'unknown/child/deep');
    const rootfs = (await before.containers.list())[0]?.rootfses[0]?.rootfs as string;
    const second = await before.provision('known', 'app:v2');
    writeFileSync(join(rootfs, 'new'), 'mine');
    writeFileSync(join(rootfs, 'app'), 'changed');
    rmSync(join(rootfs, 'etc/old'));
    const p = await reboot(before);
    expect(readdirSync(rootfs)).toEqual([]);
    const report = await p.recover({ knownContainerIds: ['known', 'known/child'] });
    expect(report.destroyed).toEqual(['unknown/child/deep', 'unknown/child', 'unknown']);
    expect(report.remounted).toHaveLength(3);
    expect(report.remounted).toContain(rootfs);
    expect({ ...report, destroyed: [], remounted: [] }).toEqual(NOTHING);
    expect(readFileSync(join(rootfs, 'new'), 'utf8')).toBe('mine');
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('changed');
    expect(readdirSync(join(rootfs, 'etc'))).toEqual(['name']);
    expect(readFileSync(join(second.rootfs, 'app'), 'utf8')).toBe('v2');
    await expectRecovered(p);
    expect(await p.destroy('known')).toBe(true);
    await expectNoContainers(p);
  });

  test('waits a moment for a mount that the kernel is still letting go of, as after the death of who worked in it', async () => {
    const p = await storeWith('job');
    const [{ rootfses } = { rootfses: [] }] = await p.containers.list();
    const file = openSync(join(rootfses[0]?.rootfs ?? '', 'etc/name'), 'r');
    const again = await reboot(p);
    const recovery = again.recover();
    await sleep(100);
    closeSync(file);
    expect(await recovery).toMatchObject({ remounted: [rootfses[0]?.rootfs], untrusted: [], failed: [] });
  });

  test('tells of a mount that nobody lets go of', async () => {
    const p = await storeWith('job');
    const [{ rootfses } = { rootfses: [] }] = await p.containers.list();
    const file = openSync(join(rootfses[0]?.rootfs ?? '', 'etc/name'), 'r');
    try {
      const again = await reboot(p);
      expect(await again.recover()).toMatchObject({ remounted: [], untrusted: [{ containerId: 'job' }], failed: [] });
    } finally {
      closeSync(file);
    }
  });

  test('keeps and mounts all that is recorded when it is not told what is known', async () => {
    const p = await reboot(await storeWith('a', 'b/c'));
    expect((await p.recover()).remounted).toHaveLength(2);
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['a', 'b/c']);
    await expectRecovered(p);
  });

  test('works in a store that is reached through a symlink', async () => {
    const p = await storeWith('job');
    await p.close();
    await unmountAll(p.root);
    const link = join(temporaryDirectory(), 'link');
    symlinkSync(p.root, link);
    const linked = await openStore({ root: link });
    const { remounted } = await linked.recover();
    expect(remounted).toHaveLength(1);
    expect(readFileSync(join(remounted[0] as string, 'app'), 'utf8')).toBe('v1');
    await expectRecovered(linked);
    expect(await linked.destroy('job')).toBe(true);
    await expectNoContainers(p.root === link ? linked : await openStore({ root: p.root }));
  });

  test('a copied rootfs needs no mount and is as it was', async () => {
    const before = await storeWith();
    const { rootfs } = await before.provision('job', 'app:v1', { backend: 'copy' });
    writeFileSync(join(rootfs, 'new'), 'mine');
    const p = await reboot(before);
    expect(await p.recover({ knownContainerIds: ['job'] })).toEqual(NOTHING);
    expect(readFileSync(join(rootfs, 'new'), 'utf8')).toBe('mine');
  });

  test('a bind mount is made again, read-only', async () => {
    const before = await openStore();
    await pullImages(before, { one: buildImage([base]) });
    const { rootfs } = await before.provision('job', 'one', { backend: 'bind' });
    const p = await reboot(before);
    expect((await p.recover()).remounted).toEqual([rootfs]);
    expect(readFileSync(join(rootfs, 'etc/name'), 'utf8')).toBe('base');
    expect(() => writeFileSync(join(rootfs, 'x'), '')).toThrow(/EROFS/);
    await expectRecovered(p);
  });

  test('the image of a known container stays when a prune comes before the recovery', async () => {
    const p = await reboot(await storeWith('job'));
    await p.pruneImages();
    const { remounted } = await p.recover();
    expect(readFileSync(join(remounted[0] as string, 'app'), 'utf8')).toBe('v1');
    expect((await p.images.list()).flatMap(({ names }) => names)).toEqual(['docker.io/library/app:v1']);
  });
});

describeWith(['root', 'overlay'], 'recoveries at the same time', () => {
  test('of one owner by several processes mount each rootfs once', async () => {
    const ids = Array.from({ length: 20 }, (_, index) => `job-${index}`);
    const p = await reboot(await storeWith(...ids));
    const at = Date.now() + 1500;
    const others = Array.from({ length: 3 }, () =>
      otherProcess(
        p.root,
        `await sleep(${at} - Date.now()); say(String((await p.recover()).remounted.length)); await p.close();`,
      ),
    );
    const remounted = (await Promise.all(others.map(({ done }) => done))).flat().map(Number);
    expect(remounted.reduce((sum, count) => sum + count, 0)).toBe(20);
    expect(mountsBelow(p.root)).toHaveLength(20);
    for (const id of ids) expect(await p.destroy(id)).toBe(true);
    await expectNoContainers(p);
  });

  test('as provisions and destroys go on mount nothing twice and call nothing untrusted', async () => {
    const p = await storeWith(...Array.from({ length: 30 }, (_, index) => `stays-${index}`));
    const other = otherProcess(
      p.root,
      `say('going');
       for (let i = 0; i < 60; i++) {
         const { remounted, untrusted, finished, retired } = await p.recover();
         if (remounted.length + untrusted.length > 0) throw new Error(JSON.stringify({ remounted, untrusted }));
         await sleep(1);
       }
       await p.close();`,
    );
    await other.says('going');
    let ended = false;
    const end = () => {
      ended = true;
    };
    other.done.then(end, end);
    for (let round = 0; !ended; round += 1) {
      const id = `job-${round}`;
      await p.provision(id, 'app:v1');
      expect(await p.destroy(id)).toBe(true);
      // Neither call gives the event loop a turn, and the end of the other process comes by that.
      await setImmediate();
    }
    await other.done;
    expect(mountsBelow(p.root)).toHaveLength(30);
    await p.recover({ knownContainerIds: [] });
    await expectNoContainers(p);
  });
});

describeWith(['root', 'overlay'], 'two owners on one store', () => {
  test('each recover their own containers and leave the other’s, nested ones too', async () => {
    const one = await openStore({ owner: 'one' });
    await pullImages(one, { 'app:v1': v1 });
    const two = await openStore({ root: one.root, owner: 'two' });
    for (const id of ['mine', 'mine/x']) await one.provision(id, 'app:v1');
    for (const id of ['theirs', 'mine/theirs', 'theirs/x']) await two.provision(id, 'app:v1');
    expect((await one.recover({ knownContainerIds: [] })).destroyed).toEqual(['mine/x', 'mine']);
    const left = (await two.containers.list()).map(({ id, rootfses }) => [id, rootfses[0]?.rootfs]);
    expect(left.map(([id]) => id)).toEqual(['mine/theirs', 'theirs', 'theirs/x']);
    for (const [, rootfs] of left) expect(readFileSync(join(rootfs as string, 'app'), 'utf8')).toBe('v1');
    expect((await two.recover({ knownContainerIds: ['mine/theirs'] })).destroyed).toEqual(['theirs/x', 'theirs']);
    expect((await one.containers.list()).map(({ id }) => id)).toEqual(['mine/theirs']);
    await expectRecovered(one);
  });

  test('after a reboot only the own ones are mounted again, and a prune takes the layers of neither', async () => {
    const one = await openStore({ owner: 'one' });
    await pullImages(one, { 'app:v1': v1, 'app:v2': v2 });
    const two = await openStore({ root: one.root, owner: 'two' });
    const [mine, theirs] = [await one.provision('mine', 'app:v1'), await two.provision('theirs', 'app:v2')];
    await two.close();
    const p = await reboot(one, { owner: 'one' });
    expect((await p.recover({ knownContainerIds: ['mine'] })).remounted).toEqual([mine.rootfs]);
    expect(readdirSync(theirs.rootfs)).toEqual([]);
    await p.pruneImages();
    const other = await openStore({ root: p.root, owner: 'two' });
    expect((await other.recover()).remounted).toEqual([theirs.rootfs]);
    expect(readFileSync(join(theirs.rootfs, 'app'), 'utf8')).toBe('v2');
    await expectRecovered(p);
  });
});

describeWith(['root', 'overlay'], 'recovery of a half state', () => {
  test('a layer without a record is swept', async () => {
    const p = await storeWith();
    const stray = join(p.root, 'layers', 'f'.repeat(64));
    mkdirSync(join(stray, 'rootfs/deep'), { recursive: true });
    expect(await p.recover()).toEqual({ ...NOTHING, retired: [stray] });
    expect(existsSync(stray)).toBe(false);
    await expectRecovered(p);
  });

  test('a record without its layer is forgotten with the images that need it, which are pulled again', async () => {
    const p = await storeWith();
    const [shared = '', own = ''] = (await p.images.get('app:v1')).layers;
    const id = (await p.images.get('app:v1')).id;
    rmSync(join(p.root, 'layers', own.slice(7)), { recursive: true });
    expect(await p.recover()).toEqual({ ...NOTHING, forgottenLayers: [own], forgottenImages: [id] });
    expect((await p.images.list()).flatMap(({ names }) => names)).toEqual(['docker.io/library/app:v2']);
    await expectRecovered(p);
    await pullImages(p, { 'app:v1': v1 });
    expect((await p.images.get('app:v1')).layers).toEqual([shared, own]);
    expect(readFileSync(join((await p.provision('job', 'app:v1')).rootfs, 'app'), 'utf8')).toBe('v1');
  });

  test('a container whose layer is gone is not mounted again without it, but told, and can be destroyed', async () => {
    const before = await storeWith('job');
    const own = (await before.images.get('app:v1')).layers[1] as string;
    const p = await reboot(before);
    rmSync(join(p.root, 'layers', own.slice(7)), { recursive: true });
    for (const image of [true, false]) {
      const report = await p.recover({ knownContainerIds: ['job'] });
      expect(report.forgottenLayers).toHaveLength(image ? 1 : 0);
      expect(report.remounted).toEqual([]);
      expect(report.failed).toMatchObject([
        {
          path: expect.stringContaining('/containers/job/'),
          code: 'ERR_LAYER_NOT_FOUND',
          message: expect.stringContaining('not stored any more'),
        },
      ]);
    }
    // Pulling the image again does not make it whole: another recovery must not pretend that it does.
    await pullImages(p, { 'app:v1': v1 });
    expect((await p.recover()).remounted).toEqual([]);
    expect(await p.destroy('job')).toBe(true);
    await expectNoContainers(p);
    await expectRecovered(p);
  });

  test('a rootfs record without its directory is a destroy that is finished', async () => {
    const p = await storeWith('job', 'job/child');
    const gone = (await p.containers.list())[0]?.rootfses[0]?.rootfs as string;
    loadSyscalls().detachMount(gone);
    rmSync(gone, { recursive: true });
    expect(await p.recover()).toEqual({ ...NOTHING, finished: [gone] });
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['job/child']);
    await expectRecovered(p);
    await p.destroy('job');
    await expectNoContainers(p);
  });

  test.each(['mounted', 'not mounted'])(
    'directories of a rootfs without a record, %s, are taken apart',
    async (state) => {
      const p = await storeWith('job', 'other');
      const { rootfs, rootfsId } = await p.provision('job', 'app:v2');
      records(p, (database) => database.prepare('DELETE FROM rootfs WHERE id = ?').run(rootfsId));
      if (state === 'not mounted') loadSyscalls().detachMount(rootfs);
      expect(await p.recover()).toEqual({ ...NOTHING, retired: [rootfs] });
      expect(existsSync(rootfs)).toBe(false);
      expect(mountsBelow(p.root)).toHaveLength(2);
      await expectRecovered(p);
      for (const id of ['job', 'other']) await p.destroy(id);
      await expectNoContainers(p);
    },
  );

  test('a destroy takes apart what a killed provision left without a record, beside the recorded rootfses', async () => {
    const p = await storeWith('job');
    const { rootfsId } = await p.provision('job', 'app:v2');
    records(p, (database) => database.prepare('DELETE FROM rootfs WHERE id = ?').run(rootfsId));
    expect(await p.destroy('job')).toBe(true);
    await expectNoContainers(p);
    expect(await p.destroy('job')).toBe(false);
  });

  test('a half copy of a dead process is removed, that of a living one is not', async () => {
    const p = await storeWith();
    const other = await otherLife(new StorePaths(p.root).alive);
    const { rootfs, rootfsId } = await p.provision('half', 'app:v1', { backend: 'copy' });
    records(p, (database) =>
      database
        .prepare("UPDATE rootfs SET state = 'provisioning', maker = ? WHERE id = ?")
        .run(other.identity, rootfsId),
    );
    // An overlay of the same container is no reason to wait for the copy.
    const mounted = await p.provision('half', 'app:v1');
    loadSyscalls().detachMount(mounted.rootfs);
    expect(await p.recover()).toEqual({ ...NOTHING, remounted: [mounted.rootfs] });
    const reason = `process ${other.pid} is just making a root filesystem of it`;
    const report = await p.recover({ knownContainerIds: [] });
    expect(report).toEqual({ ...NOTHING, untrusted: [{ containerId: 'half', reason }] });
    expect(existsSync(rootfs)).toBe(true);
    await other.kill();
    expect(await p.recover()).toEqual({ ...NOTHING, finished: [rootfs] });
    await p.destroy('half');
    await expectRecovered(p);
    await expectNoContainers(p);
  });

  test('empty directories of a container that never came to be are taken away', async () => {
    const p = await storeWith('job');
    for (const path of ['a/backends/overlay/rootfses', 'b/containers/c/backends', 'd', 'job/containers/e/containers']) {
      mkdirSync(join(p.root, 'containers', path), { recursive: true });
    }
    await p.recover();
    expect(
      readdirSync(join(p.root, 'containers'), { recursive: true }).filter((name) => /^(?!job)/.test(String(name))),
    ).toEqual([]);
    expect(existsSync(join(p.root, 'containers/job/containers'))).toBe(false);
    await expectRecovered(p);
  });

  test('the staging and the lease of a dead pull go, those of a living one stay', async () => {
    const p = await storeWith();
    const [living, dead] = [
      await otherLife(new StorePaths(p.root).alive),
      await otherLife(new StorePaths(p.root).alive),
    ];
    await dead.kill();
    records(p, (database) => {
      for (const [pull, { identity }] of Object.entries({ living, dead })) {
        database.prepare('INSERT INTO lease VALUES (?, ?, 1)').run(pull, identity);
        mkdirSync(join(p.root, 'staging', pull, '0/rootfs'), { recursive: true });
      }
    });
    mkdirSync(join(p.root, 'staging/nobody'));
    const report = await p.recover();
    expect(report.droppedLeases).toEqual(['dead']);
    expect([...report.retired].sort()).toEqual(['dead', 'nobody'].map((name) => join(p.root, 'staging', name)));
    expect(readdirSync(join(p.root, 'staging'))).toEqual(['living']);
  });

  test('a process killed in the middle of a pull leaves nothing after a recovery', async () => {
    const p = await storeWith();
    const layout = temporaryDirectory();
    const { writeOciLayout } = await import('../../native-free-tests/helpers/image-builder.js');
    const big = buildLayer(Array.from({ length: 20_000 }, (_, index) => ({ path: `f${index}`, content: 'x' })));
    await writeOciLayout(join(layout, 'big'), [{ image: buildImage([base, big]) }]);
    const other = otherProcess(
      p.root,
      `p.events.on('layerProgress', ({ phase }) => phase === 'unpacking' && say('unpacking'));
       await p.images.pull('oci:${join(layout, 'big')}', { name: 'big' });`,
    );
    await other.says('unpacking');
    await other.kill();
    const report = await p.recover();
    expect(report.droppedLeases).toHaveLength(1);
    await expectRecovered(p);
    expect(await p.images.list()).toHaveLength(2);
  });

  test('what others left in gc is swept', async () => {
    const p = await storeWith();
    mkdirSync(join(p.root, 'gc/old.123/deep'), { recursive: true });
    writeFileSync(join(p.root, 'gc/old.123/deep/file'), 'x');
    expect(await p.recover()).toEqual(NOTHING);
    await expectRecovered(p);
  });
});

describeWith(['root', 'overlay'], 'what is none of the store’s own', () => {
  test('is left alone in layers, and a symlink in gc is removed without being followed', async () => {
    const p = await storeWith('job');
    const outside = temporaryDirectory();
    writeFileSync(join(outside, 'precious'), 'data');
    const foreign = [join(p.root, 'layers/notes'), join(p.root, 'layers', 'a'.repeat(64)), join(p.root, 'layers/ABC')];
    writeFileSync(foreign[0] as string, 'x');
    symlinkSync(outside, foreign[1] as string);
    mkdirSync(foreign[2] as string);
    symlinkSync(outside, join(p.root, 'gc/link.1'));
    symlinkSync(outside, join(p.root, 'containers/link'));
    mkdirSync(join(p.root, 'gc/tree.2'));
    symlinkSync(outside, join(p.root, 'gc/tree.2/link'));
    const report = await p.recover();
    expect([...report.foreign].sort()).toEqual(foreign.toSorted());
    await p.pruneImages();
    await expectRecovered(p, foreign);
    expect(readFileSync(join(outside, 'precious'), 'utf8')).toBe('data');
    for (const path of foreign) expect(existsSync(path)).toBe(true);
    rmSync(join(p.root, 'containers/link'));
  });

  test('a directory of a recorded layer that was replaced by a symlink is not used', async () => {
    const p = await storeWith();
    const own = (await p.images.get('app:v1')).layers[1] as string;
    const place = join(p.root, 'layers', own.slice(7));
    const elsewhere = join(temporaryDirectory(), 'layer');
    renameSync(place, elsewhere);
    symlinkSync(elsewhere, place);
    expect((await p.recover()).forgottenLayers).toEqual([own]);
    await pullImages(p, { 'app:v1': v1 });
    expect(readFileSync(join((await p.provision('job', 'app:v1')).rootfs, 'app'), 'utf8')).toBe('v1');
    expect(existsSync(join(elsewhere, 'rootfs/app'))).toBe(true);
  });

  test('a mount in gc is let go of, and nothing behind it is deleted', async () => {
    const p = await storeWith();
    const volume = temporaryDirectory();
    writeFileSync(join(volume, 'precious'), 'data');
    for (const name of ['a.1', 'busy.2/volume', 'c.3']) mkdirSync(join(p.root, 'gc', name), { recursive: true });
    const { execFileSync } = await import('node:child_process');
    const mount = join(p.root, 'gc/busy.2/volume');
    execFileSync('mount', ['--bind', volume, mount]);
    await p.store.swept();
    expect(mountsBelow(p.root)).toEqual([]);
    expect((await p.store.info()).gc).toEqual({ entries: 0, postponed: [] });
    expect(readFileSync(join(volume, 'precious'), 'utf8')).toBe('data');
  });
});
