import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isProvisionerError, type ProvisionerError } from '#src/base/errors.js';
import { StorePaths } from '#src/paths.js';
import { openStoreDirectory } from '#src/store-directory/open-store-directory.js';
import type { StoreFormat } from '#src/store-directory/store-format.js';
import { isWritableByOthers, trustedPath } from '#src/store-directory/trusted-path.js';
import { InProcessLifeLocks } from '#src/system/locks/life-locks.js';
import { Liveness } from '#src/system/locks/liveness.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { temporaryDirectory } from '../helpers/memory-store.js';
import { type LockFileInMemory, SharedLock } from '../system/locks/lock-file-in-memory.js';

/** Nobody's. */
const OTHER = 65534;
const isRoot = process.geteuid?.() === 0;
const hasUsers = process.geteuid !== undefined;

const locks = new InProcessLifeLocks();

/** Begins as a process of its own would. @param lock the store's, where the system has such locks */
function begin(root: string, liveness?: Liveness, lock?: SharedLock) {
  const paths = new StorePaths(root);
  const life = liveness ?? Liveness.in(paths.alive, locks);
  const syscalls = lock === undefined ? new NativeFreeSyscalls() : new LockingSyscalls(lock);
  return openStoreDirectory(paths, () => syscalls, life, { allowDegraded: true });
}

/** With locks on files, as native calls have them. */
class LockingSyscalls extends NativeFreeSyscalls {
  readonly #lock: SharedLock;

  constructor(lock: SharedLock) {
    super();
    this.#lock = lock;
  }

  override openLockFile(path: string): LockFileInMemory {
    writeFileSync(path, '', { flag: 'a', mode: 0o600 });
    return this.#lock.open();
  }
}

/** Opens a store in a process that ends right after. */
function open(root: string): StoreFormat {
  const liveness = Liveness.in(new StorePaths(root).alive, locks);
  try {
    return begin(root, liveness).complete();
  } finally {
    liveness.close();
  }
}

function refusal(work: () => unknown): ProvisionerError {
  try {
    work();
  } catch (error) {
    if (isProvisionerError(error)) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

/** A directory with a mode that no umask has taken from. */
function directory(path: string, mode: number): string {
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

/** A whole store, with every file that one may have. */
function madeStore(root: string): StorePaths {
  const paths = new StorePaths(root);
  open(root);
  for (const own of paths.ownDirectories) mkdirSync(own, { recursive: true, mode: 0o700 });
  for (const file of [...paths.ownFiles, paths.owners]) writeFileSync(file, '', { flag: 'a', mode: 0o600 });
  return paths;
}

describe.skipIf(!hasUsers)('the root of a store', () => {
  it.each([0, 0o777, 0o277, 0o177])('is for its user alone, with all that is in it, with the umask %o', (mask) => {
    const root = join(temporaryDirectory(), 'deep', 'store');
    const umask = process.umask(mask);
    try {
      open(root);
    } finally {
      process.umask(umask);
    }
    expect([join(root, '..'), root].map(modeOf)).toEqual(['700', '700']);
    const modes = readdirSync(root).map((name) => [name, modeOf(join(root, name))]);
    expect(Object.fromEntries(modes)).toEqual({
      alive: '700',
      containers: '700',
      format: '600',
      gc: '700',
      layers: '700',
      staging: '700',
    });
  });

  it.each([0o755, 0o711, 0o2750])('is closed to others when it was there with mode %o', (mode) => {
    const root = directory(join(temporaryDirectory(), 'store'), mode);
    open(root);
    expect(statSync(root).mode & 0o077).toBe(0);
    chmodSync(root, mode);
    open(root);
    expect(statSync(root).mode & 0o077).toBe(0);
  });

  it('is closed to others with the directories and files in it, which they could read', () => {
    const paths = madeStore(join(temporaryDirectory(), 'store'));
    chmodSync(paths.root, 0o755);
    for (const own of paths.ownDirectories) chmodSync(own, 0o755);
    for (const file of paths.ownFiles) chmodSync(file, 0o644);
    open(paths.root);
    expect([paths.root, ...paths.ownDirectories].map(modeOf)).toEqual(
      Array(1 + paths.ownDirectories.length).fill('700'),
    );
    expect(paths.ownFiles.map(modeOf)).toEqual(paths.ownFiles.map(() => '600'));
  });

  it('may be an empty directory that others could write to, or a new file system', () => {
    const root = directory(join(temporaryDirectory(), 'store'), 0o777);
    mkdirSync(join(root, 'lost+found'));
    open(root);
    expect(modeOf(root)).toBe('700');
  });

  it('is refused when others could have written what is in it, and stays as it was', () => {
    const paths = madeStore(join(temporaryDirectory(), 'store'));
    chmodSync(paths.root, 0o757);
    const error = refusal(() => open(paths.root));
    expect(error).toMatchObject({ code: 'ERR_PERMISSION', details: { path: paths.root, mode: '0757' } });
    expect(error.hint).toContain(`chmod 0700 ${paths.root}`);
    expect(modeOf(paths.root)).toBe('757');
  });

  it('is refused when others could have written to a part of it', () => {
    for (const part of ['layers', 'metadata.sqlite'] as const) {
      const paths = madeStore(join(temporaryDirectory(), 'store'));
      chmodSync(join(paths.root, part), 0o707);
      chmodSync(paths.root, 0o711);
      expect(refusal(() => open(paths.root))).toMatchObject({
        code: 'ERR_PERMISSION',
        details: { path: join(paths.root, part), mode: '0707' },
      });
    }
  });

  it('is not made of a directory with other things, which others would be shut out of', () => {
    const root = directory(join(temporaryDirectory(), 'project'), 0o755);
    writeFileSync(join(root, 'notes.txt'), '');
    const error = refusal(() => open(root));
    expect(error).toMatchObject({ code: 'ERR_PERMISSION', details: { path: root, found: 'notes.txt' } });
    expect(error.hint).toContain(join(root, 'provisioner'));
    expect({ mode: modeOf(root), names: readdirSync(root) }).toEqual({ mode: '755', names: ['notes.txt'] });
  });

  it('is not made of a directory whose file called format says something else, and that stays as it was', () => {
    const root = directory(join(temporaryDirectory(), 'project'), 0o755);
    for (const name of ['format', 'notes.txt']) writeFileSync(join(root, name), 'A4');
    expect(refusal(() => open(root)).code).toBe('ERR_STORE_DAMAGED');
    expect({ mode: modeOf(root), names: readdirSync(root) }).toEqual({ mode: '755', names: ['format', 'notes.txt'] });
  });

  it.skipIf(!isRoot)(
    'is refused when it belongs to another user, also to root (needs root, to give files away)',
    () => {
      const { root } = madeStore(join(temporaryDirectory(), 'store'));
      chownSync(root, OTHER, OTHER);
      const error = refusal(() => open(root));
      expect(error).toMatchObject({ code: 'ERR_PERMISSION', details: { path: root, owner: OTHER, user: 0 } });
      expect(error.message).toMatch(/belongs to uid 65534, and this process is root$/);
      expect(error.hint).toMatch(/sudo -u '#65534' provisioner/);
    },
  );

  it.skipIf(!isRoot)(
    'is refused when one of its parts belongs to another user (needs root, to give files away)',
    () => {
      const { ownDirectories, ownFiles } = new StorePaths('/');
      for (const part of [...ownDirectories, ...ownFiles].map((path) => basename(path))) {
        const { root } = madeStore(join(temporaryDirectory(), 'store'));
        chownSync(join(root, part), OTHER, OTHER);
        expect(refusal(() => open(root))).toMatchObject({
          code: 'ERR_PERMISSION',
          details: { path: join(root, part), owner: OTHER },
        });
      }
    },
  );

  it.skipIf(!isRoot)(
    'is not refused for the one that belongs to another user on purpose (needs root, to give files away)',
    () => {
      const paths = madeStore(join(temporaryDirectory(), 'store'));
      chownSync(paths.owners, 1, 1);
      open(paths.root);
    },
  );
});

describe.skipIf(!hasUsers)('what is right below the root', () => {
  const parts = new StorePaths('/').own.map((path) => basename(path));

  it.each(parts)('is refused when %s is a symlink, whose target stays as it is', (part) => {
    const home = temporaryDirectory();
    const { root } = madeStore(join(home, 'store'));
    const outside = join(home, 'outside');
    execFileSync('mv', [join(root, part), outside]);
    symlinkSync(outside, join(root, part));
    const before = existsSync(outside) && statSync(outside).isFile() ? readFileSync(outside, 'utf8') : '';
    expect(refusal(() => open(root))).toMatchObject({
      code: 'ERR_STORE_DAMAGED',
      details: { path: join(root, part) },
    });
    if (statSync(outside).isFile()) expect(readFileSync(outside, 'utf8')).toBe(before);
  });

  it.each(parts)('is refused, not waited for, when %s is a FIFO', (part) => {
    const { root } = madeStore(join(temporaryDirectory(), 'store'));
    execFileSync('rm', ['-r', join(root, part)]);
    execFileSync('mkfifo', ['-m', '600', join(root, part)]);
    expect(refusal(() => open(root))).toMatchObject({
      code: 'ERR_STORE_DAMAGED',
      details: { path: join(root, part) },
    });
  });
});

describe.skipIf(!hasUsers)('the way to a store', () => {
  it('may lead through symlinks of ours, at its end too, in whatever way they are written', () => {
    const home = temporaryDirectory();
    const disk = directory(join(home, 'disk'), 0o755);
    symlinkSync('disk', join(home, 'relative'));
    symlinkSync(join(home, 'relative/../relative/./store'), join(home, 'link'));
    open(join(home, 'relative', 'store'));
    expect(trustedPath(join(home, 'link'))).toBe(join(disk, 'store'));
    expect(open(join(home, 'link'))).toEqual(open(join(disk, 'store')));
    expect(trustedPath(join(home, 'relative', 'new', 'er'))).toBe(join(disk, 'new', 'er'));
  });

  it('does not make the directory that a symlink leads to, whose disk may not be mounted', () => {
    const home = temporaryDirectory();
    symlinkSync('disk/store', join(home, 'link'));
    for (const root of [join(home, 'link'), join(home, 'link', 'below')]) {
      const error = refusal(() => open(root));
      expect(error).toMatchObject({ code: 'ERR_IO', details: { missing: join(home, 'disk/store') } });
      expect(error.hint).toMatch(/mounted/);
    }
    expect(readdirSync(home)).toEqual(['link']);
  });

  it('is refused, not walked for ever, when symlinks lead in a circle', () => {
    const home = temporaryDirectory();
    symlinkSync('two', join(home, 'one'));
    symlinkSync('one', join(home, 'two'));
    expect(refusal(() => open(join(home, 'one')))).toMatchObject({ details: { errno: 'ELOOP' } });
  });

  it('is refused where others could put another store in its place, unless the directory is sticky', () => {
    const shared = directory(join(temporaryDirectory(), 'shared'), 0o777);
    const error = refusal(() => open(join(shared, 'store')));
    expect(error).toMatchObject({ code: 'ERR_PERMISSION', details: { path: shared, mode: '0777' } });
    expect(error.hint).toContain(`chmod +t ${shared}`);
    expect(readdirSync(shared)).toEqual([]);
    chmodSync(shared, 0o1777);
    open(join(shared, 'store'));
  });

  it.skipIf(!isRoot)('is refused where a group could, be it that of root (needs root, to give files away)', () => {
    const shared = directory(join(temporaryDirectory(), 'shared'), 0o775);
    for (const group of [0, 50]) {
      chownSync(shared, 0, group);
      expect(refusal(() => open(join(shared, 'store')))).toMatchObject({ code: 'ERR_PERMISSION' });
    }
  });

  it.each([
    ['the private group of a user', { mode: 0o40775, uid: OTHER, gid: OTHER }, false],
    ['another group of a user', { mode: 0o40775, uid: OTHER, gid: 50 }, true],
    ['the group of root, which programs of all sorts have', { mode: 0o40775, uid: 0, gid: 0 }, true],
    ['everybody', { mode: 0o40757, uid: OTHER, gid: OTHER }, true],
    ['its owner alone', { mode: 0o40755, uid: 0, gid: 0 }, false],
  ] as const)('takes %s for what it is', (_, status, isWritable) => {
    expect(isWritableByOthers(status)).toBe(isWritable);
  });

  it.skipIf(!isRoot)(
    'is refused where a directory on it belongs to another user, to root too (needs root, to give files away)',
    () => {
      const home = directory(join(temporaryDirectory(), 'home'), 0o755);
      chownSync(home, OTHER, OTHER);
      const error = refusal(() => open(join(home, 'store')));
      expect(error).toMatchObject({ code: 'ERR_PERMISSION', details: { owner: OTHER, user: 0 } });
      expect(error.message).toContain(`lies in ${home}, which belongs to uid ${OTHER}`);
      expect(readdirSync(home)).toEqual([]);
    },
  );

  it.skipIf(!isRoot)(
    'is refused where a symlink on it belongs to another user (needs root, to give files away)',
    () => {
      const shared = directory(join(temporaryDirectory(), 'shared'), 0o1777);
      mkdirSync(join(shared, 'elsewhere'));
      symlinkSync('elsewhere', join(shared, 'store'));
      lchownSync(join(shared, 'store'), OTHER, OTHER);
      expect(refusal(() => open(join(shared, 'store')))).toMatchObject({
        code: 'ERR_PERMISSION',
        details: { owner: OTHER },
      });
      expect(readdirSync(join(shared, 'elsewhere'))).toEqual([]);
    },
  );
});

describe('an opening that is given up', () => {
  it('removes the directories that it made, and those above the root', () => {
    const home = temporaryDirectory();
    begin(join(home, 'deep', 'er', 'store')).undo();
    expect(readdirSync(home)).toEqual([]);
  });

  it('removes new records, and keeps what was there', () => {
    const root = temporaryDirectory();
    const paths = new StorePaths(root);
    const opening = begin(root, undefined, new SharedLock());
    for (const file of paths.records) writeFileSync(file, '');
    opening.undo();
    expect(readdirSync(root)).toEqual([]);

    for (const own of [paths.layers, paths.gc]) mkdirSync(own);
    writeFileSync(paths.metadata, 'old');
    const again = begin(root, undefined, new SharedLock());
    writeFileSync(`${paths.metadata}-wal`, '');
    again.undo();
    // SQLite may have moved old records into a log.
    expect(readdirSync(root)).toEqual(['gc', 'layers', 'metadata.sqlite', 'metadata.sqlite-wal']);
  });

  it('leaves all of a store that another process has completed meanwhile', () => {
    const root = join(temporaryDirectory(), 'store');
    const paths = new StorePaths(root);
    const slow = begin(root);
    writeFileSync(paths.metadata, '');
    open(root);
    slow.undo();
    expect(readdirSync(root)).toEqual(['alive', 'containers', 'format', 'gc', 'layers', 'metadata.sqlite', 'staging']);
  });

  it('leaves all to another process that is still opening the same new store', () => {
    const root = join(temporaryDirectory(), 'store');
    const paths = new StorePaths(root);
    const failing = begin(root);
    const slow = begin(root);
    writeFileSync(paths.metadata, '');
    failing.undo();
    expect(existsSync(paths.metadata)).toBe(true);
    slow.complete();
    expect(readdirSync(root)).toEqual(['alive', 'containers', 'format', 'gc', 'layers', 'metadata.sqlite', 'staging']);
    expect(readdirSync(paths.staging)).toEqual([]);
  });

  it('takes nothing away while another process has a share in the making, at whatever step that is', () => {
    const root = join(temporaryDirectory(), 'store');
    const paths = new StorePaths(root);
    const lock = new SharedLock();
    const failing = begin(root, undefined, lock);
    const other = lock.open();
    expect(other.tryLock('shared')).toBe(true);
    writeFileSync(paths.metadata, 'of the other one');
    failing.undo();
    expect(readFileSync(paths.metadata, 'utf8')).toBe('of the other one');
    expect(existsSync(paths.staging)).toBe(true);
  });

  it('keeps others from making the store until it has been undone', () => {
    const root = join(temporaryDirectory(), 'store');
    const lock = new SharedLock();
    const undoing = lock.open();
    mkdirSync(root);
    expect(undoing.tryLock('exclusive')).toBe(true);
    expect(refusal(() => begin(root, undefined, lock))).toMatchObject({
      code: 'ERR_STORE_BUSY',
      details: { pids: '1' },
    });
    undoing.close();
    begin(root, undefined, lock).complete();
    expect(lock.isFree).toBe(true);
  });

  it('leaves the records where no lock tells whose they are', () => {
    const root = join(temporaryDirectory(), 'store');
    const paths = new StorePaths(root);
    const opening = begin(root);
    writeFileSync(paths.metadata, '');
    opening.undo();
    expect(readdirSync(root)).toEqual(['metadata.sqlite']);
  });

  it('does not decide the format of a store: the first that is completed does', () => {
    const root = join(temporaryDirectory(), 'store');
    const slow = begin(root);
    expect(existsSync(join(root, 'format'))).toBe(false);
    writeFileSync(join(root, 'format'), '{"version":1,"whiteouts":"user"}', { mode: 0o600 });
    expect(slow.complete()).toEqual({ version: 1, whiteouts: 'user' });
    expect(readdirSync(join(root, 'staging'))).toEqual([]);
  });
});
