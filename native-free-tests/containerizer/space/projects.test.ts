import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Projects } from '#src/containerizer/space/projects.js';
import type { HoldingTaker } from '#src/metadata/holdings/holding-records.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { NativeFreeTreeCalls } from '#src/system/syscalls/native-free/native-free-tree-calls.js';
import type { OpenDirectory, TreeCalls } from '#src/system/syscalls/tree-calls.js';

const KEY = { containerId: 'job', id: 'rootfs-1' };
const LIMIT = { bytes: 2 ** 20, base: undefined };

/** A file system that counts files, a thousand bytes each. */
class Books {
  /** By path: the project. */
  readonly files = new Map<string, number>();
  readonly limits = new Map<number, number>();
  isKeeping = true;
  refuses: string | undefined;
  keepsProjectLimits() {
    return this.isKeeping;
  }
  projectUse(_: string, project: number) {
    const files = [...this.files.values()].filter((one) => one === project).length;
    return { files, bytes: files * 1000, limit: this.limits.get(project) ?? 0 };
  }
  limitProject(_: string, project: number, bytes: number) {
    if (bytes === 0) this.limits.delete(project);
    else this.limits.set(project, bytes);
  }
  give(path: string, project: number) {
    if (this.refuses !== undefined && path.endsWith(this.refuses) && project !== 0)
      throw Object.assign(new Error('EOVERFLOW: inodes are too small'), { code: 'EOVERFLOW' });
    this.files.set(path, project);
  }
  calls(): TreeCalls {
    const tree = new NativeFreeTreeCalls();
    const wrap = (directory: OpenDirectory, path: string): OpenDirectory =>
      new Proxy(directory, {
        get: (target, name) => {
          if (name === 'giveToProject')
            return (entry: string, project: number) => {
              this.give(entry === '' ? path : `${path}/${entry}`, project);
              return true;
            };
          if (name === 'openDirectory') return (entry: string) => wrap(target.openDirectory(entry), `${path}/${entry}`);
          const value = Reflect.get(target, name) as unknown;
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    return new Proxy(tree, {
      get: (target, name) =>
        name === 'openDirectory'
          ? (path: string) => wrap(target.openDirectory(path), path)
          : (Reflect.get(target, name) as unknown),
    });
  }
}

let place = '';
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'provisioner-projects-'));
  mkdirSync(join(place, 'upper/etc'), { recursive: true });
  mkdirSync(join(place, 'work'));
  writeFileSync(join(place, 'upper/etc/file'), '');
  symlinkSync('/', join(place, 'upper/link'));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

function setUp({ books = new Books(), drawn = [7, 8, 9] }: { books?: Books; drawn?: number[] } = {}) {
  const metadata = new MemoryMetadataManager();
  const holdings = {
    take: (holder: Omit<HoldingTaker, 'process'>, wanted: Parameters<typeof metadata.takeHoldings>[1]) =>
      metadata.takeHoldings({ ...holder, process: 'me' as HoldingTaker['process'] }, wanted),
    change: metadata.changeHolding.bind(metadata),
    release: metadata.releaseHoldings.bind(metadata),
    list: metadata.listHoldings.bind(metadata),
  };
  const draw = () => drawn.shift() ?? 99;
  const projects = new Projects({
    ...{ directory: place, bootId: 'boot', holdings, syscalls: books, calls: () => books.calls(), draw },
  });
  const places = [join(place, 'upper'), join(place, 'work')];
  return { books, projects, places, holdings };
}

const below = (books: Books) =>
  Object.fromEntries([...books.files].map(([path, project]) => [path.slice(place.length), project]).sort());

describe('a limit by projects', () => {
  it('is set for all that is there, which does not count itself, and for no link', async () => {
    const { books, projects, places, holdings } = setUp();
    expect(await projects.limit(KEY, places, LIMIT)).toEqual({ base: 4000 });
    expect(below(books)).toEqual({ '/upper': 7, '/upper/etc': 7, '/upper/etc/file': 7, '/work': 7 });
    expect([...books.limits]).toEqual([[7, 4000 + 2 ** 20]]);
    const [held] = await holdings.list({});
    expect(held).toMatchObject({ kind: 'project-quota', name: '7', holder: 'rootfs-1' });
  });

  it('is set again at the next launch without another number, and with what did not count before', async () => {
    const { books, projects, places, holdings } = setUp();
    await projects.limit(KEY, places, LIMIT);
    books.give('/written/since', 7);
    expect(await projects.limit(KEY, places, { bytes: 5000, base: 4000 })).toEqual({ base: 4000 });
    expect([...books.limits]).toEqual([[7, 9000]]);
    expect(await holdings.list({})).toHaveLength(1);
  });

  it('goes on where a crash has left it', async () => {
    const { books, projects, places, holdings } = setUp();
    await holdings.take({ holder: KEY.id, bootId: 'boot' }, [
      { kind: 'project-quota', names: ['12'], details: JSON.stringify({ containerId: 'job' }) },
    ]);
    expect(await projects.limit(KEY, places, LIMIT)).toEqual({ base: 4000 });
    expect([...books.limits.keys()]).toEqual([12]);
  });

  it('takes no number that some file bears, that has a limit, or that another container has', async () => {
    const { books, projects, places } = setUp({ drawn: [7, 8, 9, 9, 10] });
    books.give('/of/somebody', 7);
    books.limits.set(8, 1);
    await projects.limit(KEY, places, LIMIT);
    expect(books.limits.get(9)).toBeDefined();
    books.files.clear();
    books.limits.delete(9);
    await projects.limit({ containerId: 'other', id: 'rootfs-2' }, places, LIMIT);
    expect([...books.limits.keys()].sort()).toEqual([10, 8].sort());
  });

  it('is not taken up where the file system keeps to none, with a reason', async () => {
    const { books, projects, places, holdings } = setUp();
    books.isKeeping = false;
    expect(await projects.limit(KEY, places, LIMIT)).toEqual({ reason: expect.stringContaining('no project quota') });
    expect([books.files.size, await holdings.list({})]).toEqual([0, []]);
  });

  it('leaves all as it was where a file cannot be given to a project', async () => {
    const { books, projects, places, holdings } = setUp();
    books.refuses = '/file';
    const kept = await projects.limit(KEY, places, LIMIT);
    expect(kept).toEqual({ reason: expect.stringContaining('inodes are too small') });
    expect(new Set(books.files.values())).toEqual(new Set([0]));
    expect([books.limits.size, await holdings.list({})]).toEqual([0, []]);
  });

  it('is not taken up where nothing is counted for what was given', async () => {
    const { books, projects, places, holdings } = setUp();
    books.give = () => undefined;
    expect(await projects.limit(KEY, places, LIMIT)).toHaveProperty('reason');
    expect([books.limits.size, await holdings.list({})]).toEqual([0, []]);
  });

  it('holds for files that lie elsewhere, where there is one', async () => {
    const { projects, places, books } = setUp();
    await projects.giveFiles(KEY, place, ['hosts']);
    expect(books.files.size).toBe(0);
    await projects.limit(KEY, places, LIMIT);
    await projects.giveFiles(KEY, place, ['hosts', 'hostname']);
    expect(below(books)).toMatchObject({ '/hosts': 7, '/hostname': 7 });

    // On a file system without projects all is as it was.
    books.give = () => {
      throw Object.assign(new Error('inappropriate ioctl for device'), { code: 'ENOTTY' });
    };
    await projects.giveFiles(KEY, place, ['hosts']);
    books.give = () => {
      throw Object.assign(new Error('input/output error'), { code: 'EIO' });
    };
    await expect(projects.giveFiles(KEY, place, ['hosts'])).rejects.toThrow('limit the disk space of');
  });

  it('is taken back when its root filesystem is gone, and no sooner', async () => {
    const { books, projects, places, holdings } = setUp();
    await projects.limit(KEY, places, LIMIT);
    expect(await projects.takeBack(async () => true)).toEqual([]);
    expect(await projects.takeBack(async () => false, 'another')).toEqual([]);
    expect(books.limits.size).toBe(1);
    expect(await projects.takeBack(async ({ id }) => id !== KEY.id, 'job')).toEqual(['project quota 7']);
    expect([books.limits.size, await holdings.list({})]).toEqual([0, []]);
    expect(await projects.takeBack(async () => false)).toEqual([]);
  });

  it('is given back where the file system was mounted without quotas meanwhile', async () => {
    const { books, projects, places, holdings } = setUp();
    await projects.limit(KEY, places, LIMIT);
    books.isKeeping = false;
    expect(await projects.takeBack(async () => false)).toEqual(['project quota 7']);
    expect(await holdings.list({})).toEqual([]);
  });
});
