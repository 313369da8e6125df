import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GenerationFile } from '#src/metadata/sqlite/generation-file.js';
import { MIGRATIONS, migrate } from '#src/metadata/sqlite/migrations.js';
import { SqliteMetadataManager } from '#src/metadata/sqlite/sqlite-metadata-manager.js';
import { digestOf, image, layer, putLayers, rootfs } from '../../native-free-tests/contracts/metadata-records.js';
import { databasePath, inspect } from './sqlite-files.js';

const path = databasePath();
const companions = ['', '-wal'];
const generationFile = () => join(dirname(path()), 'generation');
const open = (isStoreEmpty = false) =>
  SqliteMetadataManager.open(path(), { generationFile: generationFile(), isStoreEmpty: () => isStoreEmpty });

/** Opens the records, does something with them, and closes them. */
async function using<T>(work: (manager: SqliteMetadataManager) => Promise<T>, isStoreEmpty?: boolean): Promise<T> {
  const manager = await open(isStoreEmpty);
  try {
    return await work(manager);
  } finally {
    await manager.close();
  }
}

const gap = () => using((manager) => manager.recordsGap());

/** @returns puts back what the records are now */
function backUp(): () => void {
  const copies = companions.filter((suffix) => existsSync(path() + suffix));
  for (const suffix of copies) copyFileSync(path() + suffix, `${path()}${suffix}.backup`);
  return () => {
    for (const suffix of ['', '-wal', '-shm']) rmSync(path() + suffix, { force: true });
    for (const suffix of copies) copyFileSync(`${path()}${suffix}.backup`, path() + suffix);
  };
}

/** A layer, an image, a rootfs and a copy that is being made. */
async function fill(manager: SqliteMetadataManager): Promise<void> {
  await manager.setRecordsGap(undefined);
  await putLayers(manager, 'base');
  await manager.putImage(image('app', ['base']), ['app:latest']);
  await manager.putRootfs(rootfs('r1', 'c1'));
  await manager.putRootfs(rootfs('r2', 'c2'), 'p1');
}

describe('records that were put back from a backup', () => {
  it.each<[string, (manager: SqliteMetadataManager) => Promise<unknown>]>([
    ['a layer was', (manager) => manager.putLayers([layer('top')])],
    ['an image was', (manager) => manager.putImage(image('other', ['base']), [])],
    ['a name was', (manager) => manager.addName('app:v1', image('app', []).id)],
    ['a pin was', (manager) => manager.setPinned(image('app', []).id, true)],
    ['a rootfs was', (manager) => manager.putRootfs(rootfs('r3', 'c3'))],
    ['the end of a copy was', (manager) => manager.finishRootfs(rootfs('r2', 'c2'))],
  ])('are older when %s recorded since', async (_, change) => {
    await using(fill);
    const restore = backUp();
    await using(change);
    expect(await gap()).toBeUndefined();
    restore();
    expect(await gap()).toBe('older');
  });

  it.each(['deleted', 'replaced', 'moved away and copied back'])(
    'are older, too, when the file that says how far they have come was %s under a living process',
    async (how) => {
      await using(fill);
      const living = await open();
      await living.putRootfs(rootfs('r3', 'c3'));
      if (how.startsWith('moved')) copyFileSync(generationFile(), `${generationFile()}.kept`);
      if (how.startsWith('moved')) renameSync(generationFile(), `${generationFile()}.old`);
      else rmSync(generationFile());
      if (how === 'replaced') writeFileSync(generationFile(), Buffer.alloc(4096), { mode: 0o600 });
      if (how.startsWith('moved')) renameSync(`${generationFile()}.kept`, generationFile());
      await using((manager) => manager.setRecordsGap(undefined));
      await living.putRootfs(rootfs('r4', 'c4'));
      const restore = backUp();
      await living.putRootfs(rootfs('r5', 'c5'));
      expect(await living.recordsGap()).toBeUndefined();
      await living.close();
      restore();
      expect(await gap()).toBe('older');
    },
  );

  it.each([
    ['beyond all numbers', Number.POSITIVE_INFINITY],
    ['no number', Number.NaN],
    ['no whole number', 12.5],
    ['below zero', -1],
    ['too large', 1e300],
  ])('are older when their file says %s, and records go on', async (_, number) => {
    await using(fill);
    const page = readFileSync(generationFile());
    page.writeDoubleLE(number, 4088);
    writeFileSync(generationFile(), page);
    expect(await gap()).toBe('older');
    await using((manager) => manager.setRecordsGap(undefined));
    await using((manager) => manager.putRootfs(rootfs('r9', 'c9')));
    expect(await gap()).toBeUndefined();
  });

  it('are whole where their file lags behind and can only be read', async () => {
    await using(fill);
    const file = new GenerationFile(generationFile());
    const { recordsId, generation } = file.read() as { recordsId: string; generation: number };
    file.begin({ recordsId, generation: generation - 1 }, false);
    execFileSync('chattr', ['+i', generationFile()]);
    try {
      expect(await gap()).toBeUndefined();
    } finally {
      execFileSync('chattr', ['-i', generationFile()]);
    }
    expect(await gap()).toBeUndefined();
  });

  it('are older when they were copied while others had them open, and hundreds of rootfses came and went since', async () => {
    await using(fill);
    const living = await open();
    await living.putRootfs(rootfs('before', 'c3'));
    const restore = backUp();
    for (let index = 0; index < 1100; index += 1) {
      const one = rootfs(`r${index}`, 'c4');
      await living.putRootfs(one);
      await living.forgetRootfses([one]);
    }
    await living.close();
    restore();
    expect(await using((manager) => manager.rootfsesIn('c3'))).toHaveLength(1);
    expect(await gap()).toBe('older');
  });

  it('are older when only their log was lost', async () => {
    await using(fill);
    const living = await open();
    await living.putRootfs(rootfs('in the log', 'c3'));
    const withoutLog = readFileSync(path());
    await living.close();
    writeFileSync(path(), withoutLog);
    expect(await gap()).toBe('older');
  });

  it('stay older, whatever is recorded in them, until somebody has seen to it; and so does the next backup', async () => {
    await using(fill);
    const restore = backUp();
    await using((manager) => manager.putRootfs(rootfs('lost', 'c3')));
    for (const _ of ['first', 'again']) {
      restore();
      for (let index = 0; index < 10; index += 1)
        await using((manager) => manager.putRootfs(rootfs(`r${10 + index}`, 'c4')));
      expect(await gap()).toBe('older');
      await using((manager) => manager.setRecordsGap(undefined));
      expect(await gap()).toBeUndefined();
      expect(await using((manager) => manager.rootfsesIn('c4'))).toHaveLength(10);
    }
  });

  it('are whole when what they do not know has come to its end, or was only used', async () => {
    await using(fill);
    const restore = backUp();
    await using((manager) => manager.forgetRootfses([rootfs('r1', 'c1')]));
    await using((manager) => manager.openLease('pull', 'p1'));
    restore();
    expect(await gap()).toBeUndefined();
  });

  it('are older when they are those of another store', async () => {
    await using(fill);
    const mine = readFileSync(generationFile());
    rmSync(path());
    rmSync(generationFile());
    // Further than the others, so that the number alone would not tell.
    await using(async (manager) => {
      await fill(manager);
      await putLayers(manager, 'a', 'b', 'c');
    });
    expect(await gap()).toBeUndefined();
    writeFileSync(generationFile(), mine);
    expect(await gap()).toBe('older');
  });

  it('are older when nothing tells any more how far they had come, unless there is nothing in the store', async () => {
    await using(fill);
    rmSync(generationFile());
    expect(await using((manager) => manager.recordsGap(), true)).toBeUndefined();
    rmSync(generationFile());
    expect(await gap()).toBe('older');
  });

  it('are older when they are of an older release, in a store that a newer one has used', async () => {
    const first = () =>
      inspect(path(), (database) => {
        database.pragma('journal_mode = WAL');
        database.transaction(() => migrate(database, path(), MIGRATIONS.slice(0, 2))).immediate();
      });
    first();
    const restore = backUp();
    expect(await gap()).toBeUndefined();
    await using(fill);
    expect(await gap()).toBeUndefined();
    restore();
    expect(await gap()).toBe('older');
  });
});

describe('records of which a process died', () => {
  it('between their commit and its note are whole, and the next one who opens them makes up for the note', async () => {
    await using(fill);
    const noted = readFileSync(generationFile());
    const restore = backUp();
    await using((manager) => manager.putRootfs(rootfs('r3', 'c3')));
    writeFileSync(generationFile(), noted);
    expect(await gap()).toBeUndefined();
    restore();
    expect(await gap()).toBe('older');
  });

  it('while it made the file beside them are new', async () => {
    await using(() => Promise.resolve());
    const half = readFileSync(generationFile()).subarray(0, 100);
    rmSync(path());
    for (const left of [Buffer.alloc(0), half]) {
      writeFileSync(generationFile(), left);
      const manager = await SqliteMetadataManager.open(path(), { generationFile: generationFile() });
      expect(await manager.recordsGap()).toBeUndefined();
      await manager.close();
      rmSync(path());
    }
  });

  it('that was held up with its note takes away none that another one has made meanwhile', () => {
    const [one, other] = [new GenerationFile(generationFile()), new GenerationFile(generationFile())];
    one.begin({ recordsId: 'a'.repeat(32), generation: 0 }, false);
    other.note(1000);
    one.note(999);
    expect(other.read()).toEqual({ recordsId: 'a'.repeat(32), generation: 1000 });
    for (const file of [one, other]) file.close();
  });
});

describe('records that go while they are open', () => {
  it.each([
    ['deleted', () => rmSync(path())],
    [
      'replaced',
      () => {
        copyFileSync(path(), `${path()}.other`);
        renameSync(`${path()}.other`, path());
      },
    ],
  ] as const)('by being %s take no more records, and let nothing be removed', async (how, go) => {
    const manager = await open();
    await fill(manager);
    manager.requireInPlace();
    go();
    const removal = { images: await manager.listImages(), layers: [digestOf('base')] };
    for (const call of [
      async () => manager.requireInPlace(),
      () => manager.recordsGap(),
      () => manager.removeUnused(removal, 'p1', false),
      () => manager.putRootfs(rootfs('r3', 'c3')),
      () => manager.putLayers([layer('top')]),
      () => manager.putImage(image('other', ['base']), []),
    ]) {
      await expect(call(), String(call)).rejects.toMatchObject({
        code: 'ERR_STORE_DAMAGED',
        message: expect.stringContaining(`${path()} were ${how}`),
        hint: expect.stringContaining('provisioner recover'),
      });
    }
    await manager.close();
  });
});
