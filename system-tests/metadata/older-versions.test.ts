import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { MetadataManager, RootfsRecord } from '#src/metadata/metadata-manager.js';
import { MIGRATIONS } from '#src/metadata/sqlite/migrations.js';
import { SqliteMetadataManager } from '#src/metadata/sqlite/sqlite-metadata-manager.js';
import { digestOf, image, layer, ours } from '../../native-free-tests/contracts/metadata-records.js';
import { databasePath, faults, inspect } from './sqlite-files.js';

const RECORDS = new URL('../../fixtures/records/', import.meta.url);
const path = databasePath();
const versions = MIGRATIONS.map(({ version }) => version);
const newest = versions.at(-1) ?? 0;
/** When `make-records.mjs` began; each of its calls came a second after the one before. */
const BEGUN = Date.UTC(2026, 0, 1);
const second = (count: number) => BEGUN + count * 1000;

/** The layers of the records of a version: before the fourth, nothing was kept of their archives. */
function layersOf(version: number) {
  const ofTar = version < 4 ? ({ tar: 'older', tarBytes: 0 } as const) : {};
  return {
    BASE: layer('base', { bytes: 2 ** 40 + 1, describesRoot: true, ...ofTar }),
    TOP: layer('top', { whiteouts: true, ...ofTar }),
    OPAQUE: layer('opaque', { opaqueRoot: true, ...ofTar }),
    ORPHAN: layer('orphan', ofTar),
  };
}

/** Puts the records of a version where today's code opens them. */
function putBack(version: number): void {
  const sql = readFileSync(new URL(`version-${version}.sql`, RECORDS), 'utf8');
  inspect(path(), (database) => {
    database.pragma('journal_mode = WAL');
    database.exec(sql);
  });
}

async function using<T>(work: (manager: MetadataManager) => Promise<T>): Promise<T> {
  const manager = await SqliteMetadataManager.open(path());
  try {
    return await work(manager);
  } finally {
    await manager.close();
  }
}

/** All that stands in the file: its schema as text, in order, and its rows. */
function contents(): { schema: unknown[]; rows: Record<string, unknown[]> } {
  return inspect(path(), (database) => {
    const schema = database
      .prepare<[], { type: string; name: string; sql: string }>(
        'SELECT type, name, sql FROM sqlite_schema ORDER BY rowid',
      )
      .all();
    const tables = schema.filter(({ type }) => type === 'table').map(({ name }) => name);
    const rows = tables.map((name) => [name, database.prepare(`SELECT * FROM ${name}`).all()] as const);
    return {
      schema: [database.pragma('user_version'), database.pragma('application_id'), ...schema],
      rows: Object.fromEntries(rows),
    };
  });
}

describe('records that were kept', () => {
  it('are those of each version that there was, the newest one among them', () => {
    expect(readdirSync(RECORDS).sort()).toEqual(versions.map((version) => `version-${version}.sql`));
  });

  it.each(versions)(
    'of version %i have today’s schema once they were opened, word for word, as new ones have',
    async (version) => {
      putBack(newest);
      const today = contents().schema;
      rmSync(path());
      await using(async () => undefined);
      expect(contents().schema).toEqual(today);
      rmSync(path());
      putBack(version);
      await using(async () => undefined);
      expect(contents().schema).toEqual(today);
      expect(faults(path())).toEqual([]);
    },
  );

  it.each(versions)('of version %i are changed by the first opening only', async (version) => {
    putBack(version);
    await using(async () => undefined);
    const once = contents();
    await using(async () => undefined);
    expect(contents()).toEqual(once);
    expect(once.rows['rootfs']).toHaveLength(3);
  });

  it('of today’s version are not changed by being opened', async () => {
    putBack(newest);
    const before = contents();
    await using(async () => undefined);
    expect(contents()).toEqual(before);
  });

  it.each(versions)(
    'of version %i tell of images with their stacks, names, pins, choices and uses',
    async (version) => {
      putBack(version);
      const { BASE, TOP, OPAQUE } = layersOf(version);
      await using(async (manager) => {
        const choice = { index: digestOf('index'), platform: 'linux/amd64' };
        const images = await manager.listImages();
        const told = images.map(({ id, names, pinned, createdAt }) => ({ id, names, pinned, createdAt }));
        expect(told).toEqual([
          { id: image('nameless', []).id, names: [], pinned: false, createdAt: second(4) },
          { id: image('other', []).id, names: ['other:latest'], pinned: true, createdAt: second(3) },
          { id: image('app', []).id, names: ['app:latest', 'app:v1'], pinned: false, createdAt: second(2) },
        ]);
        expect(await manager.getImageByName('app:v1')).toMatchObject(image('app', ['base', 'top', 'base']));
        expect((await manager.imageOfIndex(choice.index, choice.platform))?.id).toBe(image('app', []).id);
        expect(await manager.getStack(image('app', []).id)).toEqual([BASE, TOP, BASE]);
        expect(await manager.getStack(image('other', []).id)).toEqual([OPAQUE]);
        // The one that a container was made of comes last, whether its order was recorded or follows from the times.
        const inOrder = [...images].sort((one, other) => one.useOrder - other.useOrder);
        expect(inOrder.map(({ id }) => id)).toEqual(['other', 'nameless', 'app'].map((word) => image(word, []).id));
        expect((await manager.getImage(image('app', []).id))?.lastUsedAt).toBe(second(7));
        const later = await manager.putImage(image('later', []), []);
        expect(later.useOrder).toBeGreaterThan(inOrder.at(-1)?.useOrder ?? Number.POSITIVE_INFINITY);
      });
    },
  );

  it.each(versions)('of version %i tell of layers, and of who is at one', async (version) => {
    putBack(version);
    await using(async (manager) => {
      const layers = Object.values(layersOf(version));
      expect(await manager.listLayers()).toEqual(layers.sort((one, other) => (one.id < other.id ? -1 : 1)));
      expect(await manager.count()).toEqual({ images: 3, layers: 4, containers: 3 });
      const claim = await manager.claimLayer(digestOf('being unpacked'), ours, () => true);
      expect(claim).toEqual({ state: 'busy', holder: 'p1' });
    });
  });

  it.each(versions)(
    'of version %i tell of the containers of both owners, and where they are mounted as far as that was recorded',
    async (version) => {
      putBack(version);
      const mount = version === 1 ? undefined : { boot: 'boot-1', namespace: 'mnt:[1]', process: 'p1' };
      const app = { image: image('app', []).id, layers: ['base', 'top', 'base'].map(digestOf), complete: true };
      const rootfses: RootfsRecord[] = [
        {
          ...app,
          id: 'r1',
          containerId: 'job-1',
          owner: 'agent-1',
          backend: 'overlay',
          state: 'ready',
          maker: undefined,
          mount,
          createdAt: second(7),
        },
        {
          ...app,
          id: 'r2',
          containerId: 'job-1/child',
          owner: 'agent-1',
          backend: 'copy',
          state: 'provisioning',
          maker: 'p1',
          mount: undefined,
          createdAt: second(8),
        },
        {
          id: 'r3',
          containerId: 'job-2',
          owner: 'agent-2',
          image: image('gone', []).id,
          backend: 'overlay',
          state: 'ready',
          maker: undefined,
          mount,
          createdAt: second(9),
          layers: [digestOf('base')],
          complete: false,
        },
      ];
      await using(async (manager) => {
        expect((await manager.listContainers()).flatMap((container) => container.rootfses)).toEqual(rootfses);
        expect((await manager.listContainers('agent-2')).map(({ id }) => id)).toEqual(['job-2']);
        const elsewhere = { boot: 'boot-2', namespace: 'mnt:[2]', process: 'p2' };
        await manager.setRootfsMounts([{ containerId: 'job-1', id: 'r1' }], elsewhere);
        expect((await manager.getContainer('job-1'))?.rootfses[0]?.mount).toEqual(elsewhere);
      });
    },
  );

  it.each(versions)(
    'of version %i tell of leases, of pulls under way, and of what became of another',
    async (version) => {
      putBack(version);
      await using(async (manager) => {
        const key = { platform: 'linux/amd64', terms: 't' };
        expect(await manager.listLeases()).toEqual([
          { pull: 'load', process: 'p1', since: second(12), layers: ['orphan', 'not here yet'].map(digestOf).sort() },
          { pull: 'running', process: 'p1', since: second(14), layers: [] },
        ]);
        expect(await manager.listPulls()).toEqual([
          {
            ...key,
            pull: 'running',
            source: 'docker://registry.example/running:latest',
            process: 'p1',
            since: second(14),
            image: image('running', []).id,
            layers: [{ layer: digestOf('being unpacked'), phase: 'unpacking', bytes: 10, total: 100 }],
          },
        ]);
        const source = 'docker://registry.example/finished:latest';
        const result = { kind: 'stored', image: image('app', []).id, names: ['app:v1', 'app:latest'] };
        expect(await manager.findPulls({ ...key, source })).toEqual({
          running: [],
          outcomes: [{ ...key, source, pull: 'finished', finishedAt: second(17), result }],
        });
      });
    },
  );

  it.each(versions)(
    'of version %i tell of launches and their events as far as those were recorded, and take new ones',
    async (version) => {
      putBack(version);
      await using(async (manager) => {
        const known = version >= 5;
        const told = (await manager.listLaunches()).map(
          ({ containerId, owner, state, startedAt, finishedAt, exit }) => ({
            ...{ containerId, owner, state, startedAt, finishedAt, exit },
          }),
        );
        const running = { state: 'running', startedAt: second(18), finishedAt: undefined, exit: undefined };
        const ended = { state: 'exited', startedAt: undefined, finishedAt: second(21), exit: '{"code":0}' };
        const launches = [
          { containerId: 'job-1', owner: 'agent-1', ...running },
          { containerId: 'job-2', owner: 'agent-2', ...ended },
        ];
        expect(told).toEqual(known ? launches : []);
        const kinds = async () => (await manager.launchEvents({ limit: 99 })).map(({ kind }) => kind);
        expect(await kinds()).toEqual(known ? ['create', 'start', 'create'] : []);
        const next = { id: 'c'.repeat(32), containerId: 'job-2', owner: 'agent-2', bootId: 'boot-2' };
        const put = await manager.putLaunch({ ...next, spec: '{}', removal: 'keep', event: { kind: 'again' } });
        expect(put).toMatchObject({ replaced: known ? 'b'.repeat(32) : undefined, hadRootfs: true });
        expect((await kinds()).at(-1)).toBe('again');
        expect((await manager.unendedLaunches('job-2')).map(({ id }) => id)).toEqual([next.id]);
      });
    },
  );

  it.each(versions)(
    'of version %i keep what an image, a rootfs or a lease needs, and let go of the rest',
    async (version) => {
      putBack(version);
      await using(async (manager) => {
        await manager.setPinned(image('other', []).id, false);
        const removal = {
          images: await manager.listImages(),
          layers: (await manager.listLayers()).map(({ id }) => id),
        };
        const removed = await manager.removeUnused(removal, ours, false);
        expect([...removed.images].sort()).toEqual(['nameless', 'other'].map((word) => image(word, []).id).sort());
        expect(removed.layers).toEqual([digestOf('opaque')]);
        await manager.forgetRootfses((await manager.listContainers()).flatMap(({ rootfses }) => rootfses));
        await manager.closeLeases(['load']);
        await manager.dropUnusedStacks();
        const rest = { images: await manager.listImages(), layers: ['base', 'top', 'orphan'].map(digestOf) };
        expect((await manager.removeUnused(rest, ours, true)).layers).toEqual(rest.layers);
      });
      expect(faults(path())).toEqual([]);
    },
  );

  it.each(versions)(
    'of version %i tell of volumes, and who has them, as far as those were recorded',
    async (version) => {
      putBack(version);
      await using(async (manager) => {
        const volumes = await manager.listVolumes();
        const told = volumes.map(({ name, owner, state, maker, labels, containers }) => ({
          ...{ name, owner, state, maker, labels, containers },
        }));
        const known = [
          { name: 'data', owner: 'agent-1', state: 'ready', maker: undefined, labels: {}, containers: ['job-1'] },
          { name: 'going', owner: 'agent-2', state: 'removing', maker: 'p1', labels: {}, containers: [] },
          {
            name: 'made',
            owner: 'agent-1',
            state: 'new',
            maker: undefined,
            labels: { team: 'blue' },
            containers: ['job-1'],
          },
        ];
        expect(told).toEqual(version < 6 ? [] : known);
        await manager.forgetRootfses([{ containerId: 'job-1', id: 'r1' }]);
        expect((await manager.listVolumes()).flatMap(({ containers }) => containers)).toEqual([]);
      });
    },
  );

  it.each(versions)('of version %i are whole and sound', async (version) => {
    putBack(version);
    await using(async (manager) => {
      expect(await manager.recordsGap()).toBeUndefined();
      expect(await manager.verify()).toEqual([]);
    });
  });
});

describe('the schema as the sum of the sections', () => {
  it('has each table after those that it points at', async () => {
    await using(async () => undefined);
    inspect(path(), (database) => {
      const made: string[] = [];
      const tables = database.prepare<[], { name: string }>(
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid",
      );
      for (const { name } of tables.all()) {
        made.push(name);
        for (const { table } of database.pragma(`foreign_key_list(${name})`) as { table: string }[]) {
          expect(made, `${name} points at ${table}`).toContain(table);
        }
      }
      expect(made).toContain('stack_layer');
    });
  });
});
