import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel, type Transferable } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_UNPACK_LIMITS } from '#src/base/config.js';
import { type LayerId, Provisioner } from '#src/index.js';
import { sqliteDriver } from '#src/metadata/sqlite/drivers/choose-driver.js';
import type { RecordsPlace } from '#src/metadata/sqlite/sqlite-long-work.js';
import { receiveThrough } from '#src/workers/byte-port.js';
import type { JobKind, Jobs } from '#src/workers/jobs.js';
import { WorkerPool } from '#src/workers/worker-pool.js';
import { makeStore } from '../../bench/synthetic-store.mjs';
import { sha256 } from '../../native-free-tests/helpers/image-builder.js';
import { processorSeconds } from '../../native-free-tests/helpers/layers.js';
import { archive, entry, header } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

/** Each of the jobs takes a second at most on an idle machine; what is quadratic in what it is given would take minutes. */
const SECONDS = 10;
const MANY = 8000;
const limits = { ...DEFAULT_UNPACK_LIMITS, freeSpaceReserve: 0 };

let directory = '';
let pool: WorkerPool;
const at = (...names: string[]): string => join(directory, ...names);

/** What is made to take as much as it can of its kind. */
interface Row<Kind extends JobKind> {
  readonly request: () => Promise<Jobs[Kind]['request']> | Jobs[Kind]['request'];
  /**
   * What shows that a cancelled one has not gone on to its end; nothing where it leaves nothing behind. `whole` for what is done in one step of the system or of SQLite,
   * whole or not at all: nobody hands it a signal.
   */
  readonly cancelled: (() => boolean) | 'nothing' | 'whole';
  /** What of the request is handed over. */
  readonly transfer?: (request: Jobs[Kind]['request']) => Transferable[];
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `n${index}`);

function files(path: string, count = MANY): void {
  mkdirSync(path, { recursive: true });
  for (const name of names(count)) writeFileSync(join(path, name), '');
}

/** Many names in one directory, of which each second is a hard link, and directories within each other. */
function tree(path: string): void {
  files(path, MANY / 2);
  for (const name of names(MANY / 2)) linkSync(join(path, name), join(path, `${name}.link`));
  mkdirSync(join(path, ...Array<string>(1000).fill('d')), { recursive: true });
}

function unpackJob(target: string, parts: Buffer[]): Jobs['unpack-layer']['request'] {
  const tar = archive(...parts);
  writeFileSync(`${target}.tar`, tar);
  mkdirSync(target);
  const blob = { kind: 'file', path: `${target}.tar`, offset: 0, size: tar.length } as const;
  return {
    blob,
    digest: undefined,
    diffId: sha256(tar),
    directory: target,
    format: 'plain',
    privileged: false,
    limits,
    keepTar: true,
  };
}

async function unpacked(target: string, parts: Buffer[]): Promise<string> {
  await pool.run('unpack-layer', unpackJob(target, parts));
  return target;
}

const manyFiles = (prefix = ''): Buffer[] => names(MANY).map((name) => entry({ name: `${prefix}${name}` }, 'x'));
const countIn = (path: string): number => (existsSync(path) ? readdirSync(path).length : 0);

async function records(): Promise<RecordsPlace> {
  await makeStore(at('store'), { images: 300, ownLayers: 10 });
  return { path: at('store', 'metadata.sqlite'), sqlite: sqliteDriver().place, durable: false };
}

const rows: { readonly [Kind in JobKind]: Row<Kind> } = {
  'unpack-layer': {
    request: () =>
      unpackJob(at('layer'), [
        ...manyFiles(),
        ...names(MANY).map((name, index) =>
          header({ name: `l${name}`, linkName: index === 0 ? 'below' : `ln${index - 1}`, type: '1' }),
        ),
      ]),
    cancelled: () => !existsSync(at('layer', 'contents')),
  },
  'inflate-archive': {
    request: () => {
      // A member for each of many files, and one that becomes a thousand times as long.
      const members = [...manyFiles(), Buffer.alloc(256 << 20)].map((bytes) => gzipSync(bytes, { level: 1 }));
      const path = at('archive.tar.gz');
      writeFileSync(path, Buffer.concat(members));
      const from = { kind: 'file', path, size: statSync(path).size } as const;
      return { from, path: at('archive.tar'), label: 'the archive', freeSpaceReserve: 0 };
    },
    cancelled: () => !existsSync(at('archive.tar')) || statSync(at('archive.tar')).size < 256 << 20,
  },
  'measure-written': {
    request: () => {
      tree(at('tree'));
      return { paths: [at('tree'), at('gone')], leastPerName: 1024 };
    },
    cancelled: 'nothing',
  },
  'make-seam': {
    request: async () => {
      const symlink = header({ name: 'd', linkName: 'real', type: '2' });
      const below = await unpacked(at('below'), [header({ name: 'real', type: '5' }), symlink]);
      const layer = await unpacked(at('above'), manyFiles('d/'));
      mkdirSync(at('seam'));
      const what = { stack: [below, layer], directories: true, linking: [], target: at('seam') };
      return { ...what, whiteouts: 'plain', privileged: false, limits };
    },
    cancelled: () => countIn(at('seam', 'rootfs', 'real')) < MANY,
  },
  'read-stackings': {
    request: () => {
      const implied = names(2000);
      const directories = names(100).map((name) => at(name));
      for (const layer of directories) {
        mkdirSync(layer);
        writeFileSync(
          join(layer, 'stacking.json'),
          JSON.stringify({ implied, whiteoutDirectories: [], lowerLinks: [] }),
        );
      }
      return { directories };
    },
    cancelled: 'nothing',
  },
  'rebuild-layer': {
    request: async () => {
      const parts = manyFiles();
      const { port1, port2: port } = new MessageChannel();
      read(receiveThrough(port1)).catch(() => {});
      return { directory: await unpacked(at('layer'), parts), diffId: sha256(archive(...parts)) as LayerId, port };
    },
    cancelled: 'nothing',
    transfer: ({ port }) => [port],
  },
  'check-layers': {
    request: async () => {
      const links = names(MANY).map((name) => header({ name: `${name}.link`, linkName: name, type: '1' }));
      return { directories: [await unpacked(at('layer'), [...manyFiles(), ...links])], mode: 'full' };
    },
    cancelled: 'nothing',
  },
  'copy-layers': {
    request: () => {
      for (const layer of ['one', 'two', 'three']) tree(at(layer));
      mkdirSync(at('copy'));
      const layers = ['one', 'two', 'three'].map((layer) => at(layer));
      return { layers, target: at('copy'), whiteouts: 'plain', privileged: false };
    },
    cancelled: () => countIn(at('copy')) < MANY,
  },
  'remove-tree': {
    request: () => {
      tree(at('tree'));
      return { path: at('tree') };
    },
    cancelled: () => existsSync(at('tree')),
  },
  'remove-covered': {
    request: () => {
      tree(at('tree'));
      return { directory: at('tree'), path: '' };
    },
    cancelled: () => existsSync(at('tree')),
  },
  'measure-tree': {
    request: () => {
      tree(at('tree'));
      return { path: at('tree') };
    },
    cancelled: 'nothing',
  },
  'sync-file-system': { request: () => ({ path: directory }), cancelled: 'whole' },
  'prepare-records': { request: records, cancelled: 'whole' },
  'verify-records': { request: records, cancelled: 'whole' },
  'remove-unused-records': {
    request: async () => {
      const place = await records();
      const provisioner = await Provisioner.open({ root: at('store') });
      const { plan } = await provisioner.pruneImages([], { dryRun: true });
      await provisioner.close();
      const removal = { images: plan.images, layers: plan.layers.map(({ id }) => id) };
      return { ...place, removal, process: `${'0'.repeat(32)}.1`, exactly: false };
    },
    cancelled: 'whole',
  },
};

const kinds = Object.keys(rows) as JobKind[];
const requestOf = (kind: JobKind) => rows[kind].request() as Promise<never>;
const transferOf = (kind: JobKind, request: never) => ({ transfer: rows[kind].transfer?.(request) ?? [] });

async function read(pieces: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of pieces) {
    // It is the other side that is looked at.
  }
}

describeWith(['root'], 'a job of each kind', () => {
  beforeEach(() => {
    directory = temporaryDirectory();
    pool = new WorkerPool(1);
  });
  afterEach(() => pool.close());

  it.each(kinds)('%s takes time in proportion to what it is given', async (kind) => {
    const request = await requestOf(kind);
    const started = processorSeconds();
    await pool.run(kind, request, transferOf(kind, request));
    expect(processorSeconds() - started).toBeLessThan(SECONDS);
  });

  it.each(kinds.filter((kind) => rows[kind].cancelled !== 'whole'))(
    '%s is given up when it is cancelled, long before its end',
    async (kind) => {
      const request = await requestOf(kind);
      const giveUp = new AbortController();
      const onStart = () => giveUp.abort();
      const job = pool.run(kind, request, { signal: giveUp.signal, onStart, ...transferOf(kind, request) });
      await expect(job).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      const { cancelled } = rows[kind];
      if (typeof cancelled === 'function') expect(cancelled()).toBe(true);
    },
  );

  it.each(kinds.filter((kind) => rows[kind].cancelled === 'whole'))(
    '%s comes to its end whoever gives up meanwhile',
    async (kind) => {
      const request = await requestOf(kind);
      const giveUp = new AbortController();
      await pool.run(kind, request, { signal: giveUp.signal, onStart: () => giveUp.abort() });
    },
  );
});

describe('the table of jobs', () => {
  it('has a row for each kind that threads know', () => {
    const worker = readFileSync('src/workers/worker.ts', 'utf8');
    const handled = [...worker.matchAll(/^ {2}'([a-z-]+)':/gm)].map(([, kind]) => kind);
    expect(handled.sort()).toEqual([...kinds].sort());
  });
});
