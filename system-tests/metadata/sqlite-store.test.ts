import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { IMAGE_BY_ID, IMAGE_BY_INDEX, IMAGE_BY_NAME, IMAGES_BY_PREFIX } from '#src/metadata/images/image-rows.js';
import { DELETE_UNUSED_LAYER, UNCHANGED_IMAGE } from '#src/metadata/removals/removal-rows.js';
import { ROOTFSES_IN_TREE } from '#src/metadata/rootfses/rootfs-rows.js';
import { MIGRATIONS, migrate } from '#src/metadata/sqlite/migrations.js';
import { SqliteConnection } from '#src/metadata/sqlite/sqlite-connection.js';
import { SqliteMetadataManager } from '#src/metadata/sqlite/sqlite-metadata-manager.js';
import { digestOf, image, layer, putLayers, rootfs } from '../../native-free-tests/contracts/metadata-records.js';
import { Driver, databasePath, faults, inspect } from './sqlite-files.js';

const path = databasePath();
const alive = () => true;
const newest = MIGRATIONS.at(-1)?.version ?? 0;

describe('a store on disk', () => {
  it('has all its records after it was closed and opened again', async () => {
    const first = await SqliteMetadataManager.open(path());
    await putLayers(first, 'base', 'top');
    await first.putImage(image('app', ['base', 'top', 'base']), ['app:latest']);
    await first.claimLayer(digestOf('claimed'), 'p1', alive);
    await first.setPinned(image('app', []).id, true);
    await first.putRootfs(rootfs('r1', 'a/b'));
    await first.putRootfs(rootfs('r2', 'a/b'), 'p1');
    await first.openLease('pull', 'p1');
    await first.leaseLayers('pull', [digestOf('top'), digestOf('not here')]);
    await first.setRecordsGap('lost');
    const all = async (manager: SqliteMetadataManager) => [
      await manager.listImages(),
      await manager.listLayers(),
      await manager.listContainers(),
      await manager.claimLayer(digestOf('claimed'), 'p2', alive),
      await manager.listLeases(),
      await manager.recordsGap(),
    ];
    const before = await all(first);
    await first.close();

    const second = await SqliteMetadataManager.open(path());
    expect(await all(second)).toEqual(before);
    expect(before[3]).toEqual({ state: 'busy', holder: 'p1' });
    expect(before[5]).toBe('lost');
    await second.close();
    expect(faults(path())).toEqual([]);
  });

  it.each([
    ['flushes each commit to the disk before it is reported', {}, 2],
    ['flushes each commit when it is told to be durable', { durable: true }, 2],
    ['leaves flushing to the kernel when it is told not to be durable, and nothing else', { durable: false }, 0],
  ])('%s', async (_, options, synchronous) => {
    const connection = await SqliteConnection.open(path(), options);
    const pragma = (name: string) => connection.statement<[], object>(`PRAGMA ${name}`).get();
    expect(pragma('journal_mode')).toEqual({ journal_mode: 'wal' });
    // 2 is FULL, 0 is OFF.
    expect(pragma('synchronous')).toEqual({ synchronous });
    expect(pragma('foreign_keys')).toEqual({ foreign_keys: 1 });
    connection.close();
  });

  it('keeps its log short however much is written', async () => {
    const manager = await SqliteMetadataManager.open(path());
    await manager.putLayers([layer('base')]);
    await manager.putImage(image('app', ['base']), []);
    for (let index = 0; index < 1500; index += 1) {
      const one = rootfs(`r${index}`, `c${index}`);
      await manager.putRootfs(one);
      await manager.forgetRootfses([one]);
    }
    expect(statSync(`${path()}-wal`).size).toBeLessThan(8 * 1024 * 1024);
    await manager.close();
    expect(statSync(path()).size).toBeLessThan(1024 * 1024);
  });

  it('holds no row of anything that has come to its end', async () => {
    const manager = await SqliteMetadataManager.open(path());
    await manager.claimLayer(digestOf('base'), 'p1', alive);
    await putLayers(manager, 'base', 'top', 'gone');
    await manager.putImage(image('app', ['base', 'top', 'base']), ['app:latest']);
    await manager.putImage(image('other', ['base', 'gone']), ['other:latest']);
    await manager.openLease('pull', 'p1');
    await manager.leaseLayers('pull', [digestOf('base')]);
    await manager.closeLeases(['pull']);
    const made = [rootfs('r1', 'a/b/c'), rootfs('r2', 'a', { image: image('other', []).id })];
    for (const one of made) await manager.putRootfs(one);
    await manager.forgetLayers([digestOf('gone')]);
    await manager.forgetRootfses(made);
    await manager.dropUnusedStacks();
    const layers = (await manager.listLayers()).map(({ id }) => id);
    await manager.removeUnused({ images: await manager.listImages(), layers }, 'p1', true);
    await manager.releaseLayerClaims('p1');
    await manager.close();
    inspect(path(), (database) => {
      const tables = database.prepare<[], { name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'");
      for (const { name } of tables.all()) {
        const rows = database.prepare(`SELECT * FROM ${name}`).all();
        expect(rows, name).toEqual(name === 'state' ? [expect.objectContaining({ records_lost: 0 })] : []);
      }
    });
  });

  it('writes one row for a rootfs, however tall its stack', async () => {
    const manager = await SqliteMetadataManager.open(path());
    const words = Array.from({ length: 100 }, (_, index) => `layer ${index}`);
    await putLayers(manager, ...words);
    await manager.putImage(image('app', words), []);
    for (let index = 0; index < 20; index += 1) await manager.putRootfs(rootfs(`r${index}`, 'c'));
    await manager.close();
    const rows = (table: string) =>
      inspect(path(), (database) => database.prepare(`SELECT count(*) FROM ${table}`).pluck().get());
    expect([rows('rootfs'), rows('stack'), rows('stack_layer')]).toEqual([20, 1, 100]);
  });

  it('lets no layer go that an image or a rootfs uses, whoever deletes it', async () => {
    const manager = await SqliteMetadataManager.open(path());
    await putLayers(manager, 'of image', 'of rootfs', 'broken', 'free');
    await manager.putImage(image('app', ['of image']), []);
    await manager.putImage(image('gone', ['of rootfs', 'broken']), []);
    await manager.putRootfs(rootfs('r1', 'c1', { image: image('gone', []).id }));
    await manager.forgetLayers([digestOf('broken')]);
    await manager.close();
    inspect(path(), (database) => {
      const remove = (word: string) => database.prepare('DELETE FROM layer WHERE id = ?').run(digestOf(word));
      expect(() => remove('of image')).toThrow('FOREIGN KEY');
      expect(() => remove('of rootfs')).toThrow('FOREIGN KEY');
      expect(remove('free').changes).toBe(1);
    });
  });
});

describe('a log whose records are', () => {
  const openings = [true, false].flatMap((readOnly) => [[], ['-shm']].map((kept) => [readOnly, kept] as const));

  it.each([
    ['missing', () => rmSync(path())],
    ['empty', () => writeFileSync(path(), '')],
  ])('%s is refused however they are opened, and is as it was when they are put back', async (how, lose) => {
    const manager = await SqliteMetadataManager.open(path());
    await putLayers(manager, 'base');
    const files = ['', '-wal', '-shm'].map((suffix) => [suffix, readFileSync(path() + suffix)] as const);
    await manager.close();
    const contentOf = (suffix: string) => files.find(([name]) => name === suffix)?.[1] ?? '';
    for (const [readOnly, kept] of openings) {
      for (const [suffix] of files) rmSync(path() + suffix, { force: true });
      for (const suffix of ['', '-wal', ...kept]) writeFileSync(path() + suffix, contentOf(suffix));
      lose();
      await expect(SqliteMetadataManager.open(path(), { readOnly }), `${readOnly} ${kept}`).rejects.toMatchObject({
        code: 'ERR_STORE_DAMAGED',
        message: expect.stringContaining(`are ${how}, and the log`),
        details: { path: path(), log: `${path()}-wal` },
      });
      expect(readFileSync(`${path()}-wal`).equals(contentOf('-wal') as Buffer)).toBe(true);
      writeFileSync(path(), contentOf(''));
      const again = await SqliteMetadataManager.open(path(), { readOnly });
      expect(await again.listLayers()).toHaveLength(1);
      await again.close();
    }
  });
});

describe('records that lack something', () => {
  it.each([
    ['a table', 'DROP TABLE image_name'],
    ['a column', 'ALTER TABLE image_name RENAME COLUMN name TO called'],
    ['what they say of themselves', 'DELETE FROM state'],
    ['their version', 'PRAGMA user_version = 0'],
  ])('are called damaged: %s', async (_, sql) => {
    await (await SqliteMetadataManager.open(path())).close();
    inspect(path(), (database) => database.exec(`PRAGMA foreign_keys = OFF; ${sql}`));
    for (const readOnly of [true, false]) {
      const use = async () => {
        const manager = await SqliteMetadataManager.open(path(), {
          readOnly,
          generationFile: join(dirname(path()), 'generation'),
        });
        try {
          await manager.listImages();
          await manager.getImageByName('app:latest');
        } finally {
          await manager.close();
        }
      };
      await expect(use()).rejects.toMatchObject({
        code: 'ERR_STORE_DAMAGED',
        message: expect.stringContaining(path()),
        hint: expect.stringContaining('backup'),
        details: { path: path() },
      });
    }
  });
});

describe('records that begin anew', () => {
  const lost = async (isStoreEmpty?: () => boolean) => {
    const manager = await SqliteMetadataManager.open(path(), isStoreEmpty === undefined ? {} : { isStoreEmpty });
    const answer = await manager.recordsGap();
    await manager.close();
    return answer;
  };

  it('are new in an empty store, and lost in one that has something in it', async () => {
    expect(await lost(() => true)).toBeUndefined();
    rmSync(path());
    expect(await lost(() => false)).toBe('lost');
    // The next one to open the store learns of it, until somebody has seen to it.
    expect(await lost(() => false)).toBe('lost');
    expect(await lost()).toBe('lost');
    const manager = await SqliteMetadataManager.open(path());
    await manager.setRecordsGap(undefined);
    await manager.close();
    expect(await lost(() => false)).toBeUndefined();
  });

  it('are noticed when the file was emptied instead of deleted, with a log in which nothing is or without', async () => {
    for (const leftovers of [[], ['-wal']]) {
      const manager = await SqliteMetadataManager.open(path());
      await putLayers(manager, 'base');
      await manager.close();
      writeFileSync(path(), '');
      for (const suffix of leftovers) writeFileSync(path() + suffix, '');
      expect(await lost(() => false)).toBe('lost');
      rmSync(path());
    }
  });

  it('ask about the store only when they are made, and by one of several processes that make them', async () => {
    const asked: number[] = [];
    const open = (index: number) => {
      const isStoreEmpty = () => {
        asked.push(index);
        return true;
      };
      return SqliteMetadataManager.open(path(), { isStoreEmpty });
    };
    const managers = await Promise.all([1, 2, 3].map(open));
    for (const manager of managers) await manager.close();
    await (await open(4)).close();
    expect(asked).toHaveLength(1);
    expect(asked).not.toContain(4);
  });
});

describe('a file that cannot be used', () => {
  /** @returns the error, after a check that the file is as it was */
  async function refusal(): Promise<Error> {
    const before = readFileSync(path());
    const error = await SqliteMetadataManager.open(path()).then(
      () => new Error('it was opened'),
      (reason: Error) => reason,
    );
    expect(readFileSync(path()).equals(before)).toBe(true);
    return error;
  }

  it('is refused when a newer release wrote it, naming both versions', async () => {
    await (await SqliteMetadataManager.open(path())).close();
    inspect(path(), (database) => database.pragma('user_version = 4711'));
    const error = await refusal();
    expect(error).toMatchObject({ code: 'ERR_STORE_FORMAT', details: { path: path(), version: 4711, newest } });
    expect(error.message).toContain('version 4711');
    expect(error.message).toContain(`up to ${newest}`);
    expect(error).toHaveProperty('hint', expect.stringMatching(/release/));
  });

  it('is refused when another program wrote it', async () => {
    inspect(path(), (database) => database.exec('CREATE TABLE song (title TEXT)'));
    expect(await refusal()).toMatchObject({ code: 'ERR_STORE_FORMAT', hint: expect.any(String) });
    // The same, when the other program happens to count as we do.
    inspect(path(), (database) => database.pragma('user_version = 1'));
    expect(await refusal()).toMatchObject({ code: 'ERR_STORE_FORMAT' });
  });

  it('is called damaged when it is no database', async () => {
    writeFileSync(path(), 'these are no records at all\n'.repeat(100));
    const error = await refusal();
    expect(error).toMatchObject({ code: 'ERR_STORE_DAMAGED', details: { path: path() }, hint: expect.any(String) });
    expect(error.message).toContain(path());
    expect(error.cause).toBeInstanceOf(Error);
  });

  it('is called damaged when its pages are overwritten or cut off', async () => {
    const manager = await SqliteMetadataManager.open(path());
    for (let index = 0; index < 300; index += 1) await manager.putImage(image(`app ${index}`, []), []);
    await manager.close();
    const sound = readFileSync(path());
    for (const broken of [Buffer.from(sound).fill(0xa5, 4096), sound.subarray(0, 3 * 4096)]) {
      writeFileSync(path(), broken);
      const use = async () => {
        const opened = await SqliteMetadataManager.open(path());
        await opened.listImages().finally(() => opened.close());
      };
      await expect(use()).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED', hint: expect.any(String) });
    }
  });

  it('is reported with its path when it cannot be made', async () => {
    const nowhere = join(dirname(path()), 'none', 'metadata.sqlite');
    await expect(SqliteMetadataManager.open(nowhere)).rejects.toMatchObject({
      code: 'ERR_IO',
      details: { path: nowhere },
    });
    await expect(SqliteMetadataManager.open(dirname(path()))).rejects.toMatchObject({ code: 'ERR_IO' });
  });
});

describe('a full disk', () => {
  const mounts: string[] = [];
  afterEach(() => {
    for (const mount of mounts.splice(0)) execFileSync('umount', [mount]);
  });

  const root = process.getuid?.() === 0 && process.platform === 'linux';
  it.skipIf(!root)('fails one call with ERR_NO_SPACE and leaves the records sound (needs root, to mount)', async () => {
    const small = join(dirname(path()), 'small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=768k', 'none', small]);
    mounts.push(small);
    const database = join(small, 'metadata.sqlite');
    const manager = await SqliteMetadataManager.open(database);
    const recorded: string[] = [];
    const fill = async () => {
      for (let index = 0; index < 5000; index += 1) {
        const one = image(`app ${index}`, [], { config: 'x'.repeat(4000) });
        await manager.putImage(one, [`app:${index}`]);
        recorded.push(one.id);
      }
    };
    await expect(fill()).rejects.toMatchObject({ code: 'ERR_NO_SPACE', hint: expect.any(String) });
    // What was reported as done is there, what failed is not, and the store still answers.
    expect(recorded.length).toBeGreaterThan(10);
    expect((await manager.listImages()).map((record) => record.id).sort()).toEqual(recorded.sort());
    await manager.close();
    execFileSync('mount', ['-o', 'remount,size=4m', small]);
    const again = await SqliteMetadataManager.open(database);
    expect(await again.listImages()).toHaveLength(recorded.length);
    await again.putImage(image('one more', []), []);
    await again.close();
    expect(faults(database)).toEqual([]);
  });
});

describe('migrations', () => {
  const next = { version: newest + 1, sql: "ALTER TABLE layer ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'" };
  const broken = { version: newest + 2, sql: 'CREATE TABLE half (a); CREATE TABLE half (a)' };

  it('are numbered from 1 without gaps', () => {
    expect(MIGRATIONS.map((migration) => migration.version)).toEqual(MIGRATIONS.map((_, index) => index + 1));
  });

  it('bring an older store up to date with its records', async () => {
    const manager = await SqliteMetadataManager.open(path());
    await putLayers(manager, 'base');
    await manager.close();
    inspect(path(), (database) => {
      database.transaction(() => migrate(database, path(), [...MIGRATIONS, next])).immediate();
      expect(database.pragma('user_version', { simple: true })).toBe(next.version);
      expect(database.prepare('SELECT id, colour FROM layer').all()).toEqual([
        { id: digestOf('base'), colour: 'blue' },
      ]);
    });
    await expect(SqliteMetadataManager.open(path())).rejects.toMatchObject({ code: 'ERR_STORE_FORMAT' });
  });

  it('bring a store of version 1 to the newest, with its rootfses', async () => {
    inspect(path(), (database) => {
      database.pragma('journal_mode = WAL');
      database.transaction(() => migrate(database, path(), MIGRATIONS.slice(0, 1))).immediate();
    });
    const database = new Driver(path());
    database.exec(`INSERT INTO stack VALUES (1, 0);
      INSERT INTO image VALUES (1, '${digestOf('image app')}', '', '', '', '', 1, 1, 0, 1);
      INSERT INTO image_document VALUES (1, '{}', '{}');
      INSERT INTO rootfs VALUES ('c1', 'r1', 'agent', '${digestOf('image app')}', 'overlay', 'ready', NULL, 1, 1)`);
    database.close();
    const manager = await SqliteMetadataManager.open(path());
    const [seen] = await manager.listImages();
    expect((await manager.removeUnused({ images: [seen as never], layers: [] }, 'p1', false)).images).toEqual([]);
    expect((await manager.rootfsesIn('c1')).map(({ id }) => id)).toEqual(['r1']);
    await manager.close();
    inspect(path(), (migrated) => expect(migrated.pragma('user_version', { simple: true })).toBe(newest));
  });

  it('from version 1 to 2 know nothing of where the rootfses of before are mounted, and note it from then on', async () => {
    inspect(path(), (database) => {
      database.pragma('journal_mode = WAL');
      const first = MIGRATIONS.filter(({ version }) => version === 1);
      database.transaction(() => migrate(database, path(), first)).immediate();
      database.exec(
        "INSERT INTO stack VALUES (1, 0); INSERT INTO image VALUES (1, 'sha256:aa', 'm', 'c', 'p', 's', 0, 0, 0, 1)",
      );
      database.exec("INSERT INTO rootfs VALUES ('job', 'old', 'agent', 'sha256:aa', 'overlay', 'ready', NULL, 0, 1)");
    });
    const manager = await SqliteMetadataManager.open(path());
    const mount = { boot: 'b', namespace: 'mnt:[1]', process: 'p1' };
    await manager.putRootfs({ ...rootfs('new', 'job', { image: 'sha256:aa' }), mount });
    const places = async () => (await manager.getContainer('job'))?.rootfses.map((one) => [one.id, one.mount]);
    expect(await places()).toEqual([
      ['old', undefined],
      ['new', mount],
    ]);
    await manager.setRootfsMounts([{ containerId: 'job', id: 'old' }], mount);
    expect(await places()).toEqual([
      ['old', mount],
      ['new', mount],
    ]);
    await manager.close();
    inspect(path(), (database) => expect(database.pragma('user_version', { simple: true })).toBe(newest));
    expect(faults(path())).toEqual([]);
  });

  it('from version 2 to 3 put images into the order of their use, those of a time still to come first', async () => {
    inspect(path(), (database) => {
      database.pragma('journal_mode = WAL');
      database.transaction(() => migrate(database, path(), MIGRATIONS.slice(0, 2))).immediate();
      database.exec('INSERT INTO stack VALUES (1, 0)');
      const put = database.prepare("INSERT INTO image VALUES (?, ?, 'm', 'c', 'p', 's', 0, ?, 0, 1)");
      const uses = { late: 3000, early: 1000, 'to come': Date.now() + 86_400_000, between: 2000 };
      for (const [key, [word, use]] of Object.entries(uses).entries()) put.run(key + 1, `sha256:${word}`, use);
    });
    const manager = await SqliteMetadataManager.open(path());
    await putLayers(manager, 'base');
    await manager.putImage(image('new', ['base']), []);
    const images = (await manager.listImages()).sort((one, other) => one.useOrder - other.useOrder);
    expect(images.map(({ id }) => id)).toEqual([
      'sha256:to come',
      'sha256:early',
      'sha256:between',
      'sha256:late',
      image('new', []).id,
    ]);
    await manager.close();
    expect(faults(path())).toEqual([]);
  });

  it('from version 4 to 5 know of no launch, and keep of each container one from then on, with an end or without', async () => {
    inspect(path(), (database) => {
      database.pragma('journal_mode = WAL');
      database.transaction(() => migrate(database, path(), MIGRATIONS.slice(0, 4))).immediate();
      database.exec(
        "INSERT INTO stack VALUES (1, 0); INSERT INTO rootfs VALUES ('job', 'r', 'me', 'sha256:app', 'copy', 'ready', NULL, 1, 1, NULL, NULL, NULL)",
      );
    });
    const manager = await SqliteMetadataManager.open(path());
    expect(await manager.listLaunches()).toEqual([]);
    expect(await manager.launchEvents({ limit: 9 })).toEqual([]);
    const launch = { containerId: 'job', owner: 'me', bootId: 'boot', spec: '{}', removal: 'keep' } as const;
    expect(await manager.putLaunch({ ...launch, id: 'a', event: { kind: 'create' } })).toMatchObject({
      hadRootfs: true,
    });
    expect(await manager.changeLaunch('a', { from: ['starting'], to: 'exited', exit: '{}' })).toBe(true);
    await manager.close();
    inspect(path(), (database) => {
      expect(database.pragma('user_version', { simple: true })).toBe(newest);
      const refused = (sql: string, why: RegExp) => expect(() => database.exec(sql), sql).toThrow(why);
      // Whoever writes them, an end has a time and an exit, and a container one launch.
      refused('UPDATE launch SET finished_at = NULL', /CHECK/);
      refused('UPDATE launch SET exit = NULL', /CHECK/);
      refused("UPDATE launch SET state = 'running'", /CHECK/);
      refused("UPDATE launch SET state = 'lost'", /CHECK/);
      refused(
        "INSERT INTO launch SELECT 'b', container, owner, state, boot, created_at, NULL, finished_at, spec, NULL, exit, removal FROM launch",
        /UNIQUE/,
      );
    });
    expect(faults(path())).toEqual([]);
  });

  it('from version 5 to 6 know of no volume, and keep which rootfs has one from then on, for as long as that is there', async () => {
    inspect(path(), (database) => {
      database.pragma('journal_mode = WAL');
      database.transaction(() => migrate(database, path(), MIGRATIONS.slice(0, 5))).immediate();
      database.exec(
        "INSERT INTO stack VALUES (1, 0); INSERT INTO rootfs VALUES ('job', 'r', 'me', 'sha256:app', 'copy', 'ready', NULL, 1, 1, NULL, NULL, NULL)",
      );
    });
    const manager = await SqliteMetadataManager.open(path());
    expect(await manager.listVolumes()).toEqual([]);
    const wanted = [{ name: 'data', owner: 'me', readOnly: false }];
    expect(await manager.useVolumes({ containerId: 'job', id: 'r' }, wanted)).toMatchObject({
      used: [{ name: 'data' }],
    });
    await manager.close();
    inspect(path(), (database) => {
      expect(database.pragma('user_version', { simple: true })).toBe(newest);
      database.pragma('foreign_keys = ON');
      const refused = (sql: string, why: RegExp) => expect(() => database.exec(sql), sql).toThrow(why);
      // Whoever writes them, what a rootfs has stays, and nothing else has anything.
      refused('DELETE FROM volume', /FOREIGN KEY/);
      refused("INSERT INTO volume_use VALUES ('data', 'job', 'other')", /FOREIGN KEY/);
      refused("UPDATE volume SET state = 'full'", /CHECK/);
      database.exec('DELETE FROM rootfs; DELETE FROM volume');
      expect(database.prepare('SELECT * FROM volume_use').all()).toEqual([]);
    });
    expect(faults(path())).toEqual([]);
  });

  it('are not taken for another program when they happen in the middle of our look at a new file', async () => {
    inspect(path(), (database) => database.pragma('journal_mode = WAL'));
    const original = Driver.prototype.prepare;
    // After the look at the application's number, before that at the tables.
    const spy = vi.spyOn(Driver.prototype, 'prepare').mockImplementation(function (
      this: InstanceType<typeof Driver>,
      sql: string,
    ) {
      if (sql.includes('sqlite_schema')) {
        spy.mockRestore();
        inspect(path(), (other) => other.transaction(() => migrate(other, path())).immediate());
      }
      return original.call(this, sql);
    });
    const manager = await SqliteMetadataManager.open(path());
    // The other process did come in between.
    expect(Driver.prototype.prepare).toBe(original);
    await putLayers(manager, 'base');
    expect(await manager.listLayers()).toHaveLength(1);
    await manager.close();
  });

  it('leave the store as it was when one of them fails', async () => {
    await (await SqliteMetadataManager.open(path())).close();
    inspect(path(), (database) => {
      const run = database.transaction(() => migrate(database, path(), [...MIGRATIONS, next, broken]));
      expect(() => run.immediate()).toThrow('half');
      expect(database.pragma('user_version', { simple: true })).toBe(newest);
    });
    const manager = await SqliteMetadataManager.open(path());
    await putLayers(manager, 'base');
    expect(await manager.listLayers()).toHaveLength(1);
    await manager.close();
  });
});

describe('a big store', () => {
  it('opens and answers as fast as a small one', async () => {
    await (await SqliteMetadataManager.open(path())).close();
    fill(path(), 10_000, 10);
    const times: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const start = performance.now();
      const manager = await SqliteMetadataManager.open(path());
      expect((await manager.getImageByName('registry.example/app:7777'))?.layers).toHaveLength(10);
      times.push(performance.now() - start);
      await manager.close();
    }
    // The best of a few: another program on the machine must not fail the test.
    expect(Math.min(...times)).toBeLessThan(50);
  });

  it('is never read from end to end to find an image or a container, or to see whether an image or a layer is in use', async () => {
    await (await SqliteMetadataManager.open(path())).close();
    inspect(path(), (database) => {
      const statements = [
        IMAGE_BY_ID,
        IMAGE_BY_NAME,
        IMAGE_BY_INDEX,
        IMAGES_BY_PREFIX,
        ROOTFSES_IN_TREE,
        UNCHANGED_IMAGE,
        DELETE_UNUSED_LAYER,
      ];
      for (const sql of statements) {
        const named = sql.includes('@');
        const parameters = named ? [{ prefix: 'ab', limit: 2, id: 'ab' }] : Array(sql.split('?').length - 1).fill('ab');
        const plan = database.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters);
        expect(plan.filter((step) => step.detail.startsWith('SEARCH')).length, sql).toBeGreaterThan(0);
        expect(
          plan.filter((step) => step.detail.startsWith('SCAN')),
          sql,
        ).toEqual([]);
      }
    });
  });

  function fill(file: string, images: number, layersEach: number): void {
    const database = new Driver(file);
    const hash = (word: string) => `sha256:${createHash('sha256').update(word).digest('hex')}`;
    const putLayer = database.prepare("INSERT INTO layer VALUES (?, ?, 4096, 3, 0, 0, 0, 'off', 0)");
    const putImage = database.prepare("INSERT INTO image VALUES (?, ?, 'm', 'c', 'linux/amd64', 's', ?, ?, 0, ?, 0)");
    const putDocument = database.prepare('INSERT INTO image_document VALUES (?, ?, ?)');
    const putStack = database.prepare('INSERT INTO stack (key, size) VALUES (?, 10)');
    const putStackLayer = database.prepare('INSERT INTO stack_layer VALUES (?, ?, ?)');
    const putName = database.prepare('INSERT INTO image_name VALUES (?, ?)');
    database.transaction(() => {
      for (let key = 1; key <= images; key += 1) {
        putStack.run(key);
        putImage.run(key, hash(`image ${key}`), key, key, key);
        putDocument.run(key, 'm'.repeat(1000), 'c'.repeat(3000));
        putName.run(`registry.example/app:${key}`, key);
        for (let position = 0; position < layersEach; position += 1) {
          const { lastInsertRowid } = putLayer.run(null, hash(`layer ${key} ${position}`));
          putStackLayer.run(key, position, lastInsertRowid);
        }
      }
    })();
    database.close();
  }
});
