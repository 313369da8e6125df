import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mountSources } from '#src/containerizer/bundle/mounts/mount-sources.js';
import { plannedMounts } from '#src/containerizer/bundle/mounts/planned-mounts.js';
import { makeDirectoryInside, resolveTargets } from '#src/containerizer/bundle/mounts/resolve-targets.js';
import type { MountSpec } from '#src/containerizer/launch-spec.js';
import { calls, rootfsOf, type TestRootfs, type Tree } from '../rootfs/rootfs-tree.js';
import { OWN_FILES } from '../sample-input.js';

const BARE: Tree = { proc: {}, dev: {}, sys: {}, 'etc/hosts': '', 'etc/hostname': '', 'etc/resolv.conf': '' };
/** A bind whose source is there. */
const bind = (target: string, more: Partial<MountSpec> = {}): MountSpec => ({
  type: 'bind',
  source: '/',
  target,
  ...more,
});
const tmpfs = (target: string): MountSpec => ({ type: 'tmpfs', target });

async function targetsIn({ view }: TestRootfs, mounts: readonly MountSpec[], isReadOnly = false) {
  const sources = await mountSources(mounts);
  const planned = plannedMounts({ mounts: sources, isReadOnly, files: OWN_FILES, recursiveAttributes: false });
  return resolveTargets(view, planned, calls);
}

const pathsOf = (mounts: readonly { readonly destination: string }[]) => mounts.map(({ destination }) => destination);
const refusal = (more: object = {}) =>
  expect.objectContaining({ code: 'ERR_MOUNT_TARGET', hint: expect.any(String), ...more });

describe('the mounts of a container', () => {
  it('go from the top down', async () => {
    const mounts = await targetsIn(rootfsOf(BARE), [bind('/a/b/c'), bind('/a'), tmpfs('/a/b')]);
    expect(pathsOf(mounts)).toEqual([
      '/proc',
      '/dev',
      '/sys',
      '/a',
      '/a/b',
      '/dev/pts',
      '/dev/mqueue',
      '/dev/shm',
      '/etc/hosts',
      '/etc/hostname',
      '/etc/resolv.conf',
      '/a/b/c',
      '/sys/fs/cgroup',
    ]);
  });

  it('have their targets made where these are missing, and nothing else', async () => {
    const rootfs = rootfsOf({});
    const source = join(rootfs.outside, 'passwd');
    await targetsIn(rootfs, [bind('/new/directory'), bind('/new/file', { source })]);
    expect(readdirSync(rootfs.directory).sort()).toEqual(['dev', 'etc', 'new', 'proc', 'sys']);
    expect(statSync(join(rootfs.directory, 'new/directory')).isDirectory()).toBe(true);
    expect(statSync(join(rootfs.directory, 'new/file')).isFile()).toBe(true);
    expect(readdirSync(join(rootfs.directory, 'dev'))).toEqual([]);
  });

  it('go where links of the image lead, inside', async () => {
    const rootfs = rootfsOf({
      ...BARE,
      'var/run': { link: '/run' },
      'etc/resolv.conf': { link: '../run/systemd/resolve/stub-resolv.conf' },
      data: { link: 'OUTSIDE' },
    });
    const mounts = await targetsIn(rootfs, [bind('/var/run/socket'), bind('/data/x')]);
    expect(pathsOf(mounts)).toEqual(
      expect.arrayContaining(['/run/socket', '/run/systemd/resolve/stub-resolv.conf', `${rootfs.outside}/x`]),
    );
    expect(readdirSync(rootfs.outside)).toEqual(['passwd']);
    expect(existsSync(join(rootfs.directory, rootfs.outside, 'x'))).toBe(true);
  });

  it("of the caller's take the place of ours, at the target and below", async () => {
    const own = ['/etc/hosts', '/dev/shm', '/tmp'];
    const mounts = await targetsIn(
      rootfsOf(BARE),
      own.map((target) => (target === '/etc/hosts' ? bind(target, { source: '/etc/passwd' }) : tmpfs(target))),
      true,
    );
    for (const path of own) expect(mounts.filter(({ destination }) => destination === path)).toHaveLength(1);
    expect(mounts.find(({ destination }) => destination === '/etc/hosts')?.source).toBe('/etc/passwd');
    const whole = pathsOf(await targetsIn(rootfsOf(BARE), [tmpfs('/etc')]));
    expect(whole.filter((path) => path.startsWith('/etc'))).toEqual(['/etc']);
  });

  it('have memory to write to in a root filesystem that is read-only, each once', async () => {
    const mounts = await targetsIn(rootfsOf({ ...BARE, tmp: {}, 'var/tmp': { link: '/tmp' } }), [], true);
    expect(pathsOf(mounts).filter((path) => /tmp|run/.test(path))).toEqual(['/run', '/tmp']);
  });
});

describe('no link of the image', () => {
  it.each(['dev', 'proc', 'sys'])('takes the place of /%s, wherever it leads', async (name) => {
    for (const link of ['OUTSIDE', '/elsewhere', '.']) {
      const rootfs = rootfsOf({
        ...Object.fromEntries(Object.entries(BARE).filter(([path]) => path !== name)),
        elsewhere: {},
        [name]: { link },
      });
      await expect(targetsIn(rootfs, [])).rejects.toThrow(refusal({ message: expect.stringContaining('no symlink') }));
      expect(readdirSync(rootfs.outside)).toEqual(['passwd']);
    }
  });

  it.each<[string, Tree]>([
    ['/etc/hosts', { 'etc/hosts': { link: '/proc/self/attr/exec' } }],
    ['/etc', { etc: { link: '/proc/sys' } }],
    ['/etc/resolv.conf', { 'etc/resolv.conf': { link: '/sys/kernel/x' } }],
    ['/etc/hostname', { 'etc/hostname': { link: '/dev/null' } }],
  ])('leads %s into a tree of the kernel', async (_, tree) => {
    const base = Object.fromEntries(
      Object.entries(BARE).filter(([path]) => !Object.keys(tree).some((name) => path.startsWith(name))),
    );
    await expect(targetsIn(rootfsOf({ ...base, ...tree }), [])).rejects.toThrow(
      refusal({ message: expect.stringContaining('leads it into') }),
    );
  });

  it("leads a mount of the caller's there", async () => {
    const rootfs = rootfsOf({ ...BARE, data: { link: '/dev' } });
    await expect(targetsIn(rootfs, [tmpfs('/data')])).rejects.toThrow(refusal());
    await expect(targetsIn(rootfs, [bind('/data/fd')])).rejects.toThrow(refusal());
  });
});

describe('a target is refused', () => {
  const TREE: Tree = {
    ...BARE,
    file: 'x',
    loop: { link: 'loop' },
    top: { link: '/' },
    pipe: { pipe: true },
    a: {},
    b: { link: 'a' },
  };

  it.each([
    ['that is the root filesystem', [bind('/')]],
    ['that a link leads to the root filesystem', [bind('/top')]],
    ['that goes round', [bind('/loop')]],
    ['below a file', [bind('/file/x')]],
    ['that is a file, for a directory', [bind('/file')]],
    ['that is a pipe, for a tmpfs', [tmpfs('/pipe')]],
    ['that is a directory, for a file', [bind('/a', { source: '/etc/passwd' })]],
    ['twice', [bind('/a'), tmpfs('/a')]],
    ['twice by a link', [bind('/a'), tmpfs('/b')]],
    ['in /proc', [bind('/proc/self/attr')]],
    ['that is /proc', [bind('/proc')]],
    ['that is /sys', [tmpfs('/sys')]],
    ['that is /dev', [bind('/dev')]],
    ['that is a device which each container has', [bind('/dev/null', { source: '/etc/passwd' })]],
    ['that lies below one', [tmpfs('/dev/console/x')]],
    ['that is a link to standard streams', [bind('/dev/stdout', { source: '/etc/passwd' })]],
    ['that is their directory', [tmpfs('/dev/fd')]],
  ])('%s', async (_, mounts) => {
    await expect(targetsIn(rootfsOf(TREE), mounts)).rejects.toThrow(refusal());
  });

  it('that is no absolute path, or no path at all', async () => {
    for (const target of ['relative', '', 'a\0b', '/a\0b'])
      await expect(targetsIn(rootfsOf(TREE), [bind(target)])).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_BAD_OPTION' }),
      );
  });
});

it('what lxcfs has can be mounted over what the kernel tells of the machine', async () => {
  const mounts = await targetsIn(rootfsOf(BARE), [
    bind('/proc/meminfo', { source: '/etc/passwd' }),
    tmpfs('/sys/kernel/debug'),
  ]);
  expect(pathsOf(mounts)).toEqual(expect.arrayContaining(['/proc/meminfo', '/sys/kernel/debug']));
});

describe('below a bind of a directory', () => {
  const withSource = () => {
    const rootfs = rootfsOf(BARE);
    const source = join(rootfs.outside, 'source');
    mkdirSync(source);
    return { rootfs, source };
  };

  it('a target that is missing is made in it, not in the root filesystem', async () => {
    const { rootfs, source } = withSource();
    await targetsIn(rootfs, [bind('/data', { source }), tmpfs('/data/cache/x')]);
    expect(statSync(join(source, 'cache/x')).isDirectory()).toBe(true);
    expect(readdirSync(join(rootfs.directory, 'data'))).toEqual([]);
  });

  it('nothing is made when it is read-only', async () => {
    const { rootfs, source } = withSource();
    await expect(targetsIn(rootfs, [bind('/data', { source, readOnly: true }), tmpfs('/data/x')])).rejects.toThrow(
      refusal(),
    );
    expect(readdirSync(source)).toEqual([]);
    mkdirSync(join(source, 'x'));
    expect(pathsOf(await targetsIn(rootfs, [bind('/data', { source, readOnly: true }), tmpfs('/data/x')]))).toContain(
      '/data/x',
    );
  });

  it('no link that somebody has put there is followed', async () => {
    const { rootfs, source } = withSource();
    symlinkSync(rootfs.outside, join(source, 'link'));
    writeFileSync(join(source, 'file'), '');
    mkdirSync(join(source, 'real'));
    symlinkSync('real', join(source, 'within'));
    for (const target of ['/data/link', '/data/link/x', '/data/file/x', '/data/within'])
      await expect(targetsIn(rootfs, [bind('/data', { source }), tmpfs(target)])).rejects.toThrow(refusal());
    expect(readdirSync(rootfs.outside).sort()).toEqual(['passwd', 'source']);
  });

  it('that is a file, there is no target', async () => {
    const { rootfs } = withSource();
    const source = join(rootfs.outside, 'passwd');
    await expect(targetsIn(rootfs, [bind('/data', { source }), tmpfs('/data/x')])).rejects.toThrow(refusal());
  });
});

describe('the source of a bind', () => {
  it('must be there', async () => {
    const { outside } = rootfsOf({});
    symlinkSync('nowhere', join(outside, 'dangling'));
    symlinkSync('round', join(outside, 'round'));
    for (const name of ['missing', 'dangling', 'round', 'passwd/x'])
      await expect(mountSources([bind('/x', { source: join(outside, name) })])).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_MOUNT_SOURCE', details: { source: join(outside, name), target: '/x' } }),
      );
    await expect(mountSources([bind('/x', { source: 'relative' })])).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_BAD_OPTION' }),
    );
  });

  it('is what its symlinks lead to, of the kind that is there', async () => {
    const { outside } = rootfsOf({});
    symlinkSync('passwd', join(outside, 'link'));
    expect(
      await mountSources([bind('/x', { source: join(outside, 'link') }), bind('/y', { source: outside }), tmpfs('/z')]),
    ).toMatchObject([
      { source: join(outside, 'passwd'), kind: 'file' },
      { source: outside, kind: 'directory' },
      { kind: 'directory' },
    ]);
  });
});

describe('the options of a mount', () => {
  const optionsOf = (mount: MountSpec, recursiveAttributes = true) => {
    const planned = plannedMounts({
      mounts: [{ ...mount, kind: 'directory' }],
      isReadOnly: false,
      files: OWN_FILES,
      recursiveAttributes,
    });
    return planned.at(-1)?.mount.options;
  };

  it.each<[MountSpec, string[]]>([
    [bind('/x'), ['rbind', 'rprivate', 'nosuid', 'nodev']],
    [bind('/x', { readOnly: true }), ['rbind', 'rprivate', 'nosuid', 'nodev', 'ro', 'rro']],
    [bind('/x', { exec: false }), ['rbind', 'rprivate', 'nosuid', 'nodev', 'noexec', 'rnoexec']],
    [tmpfs('/x'), ['rprivate', 'nosuid', 'nodev', 'noexec', 'mode=1777']],
    [
      { ...tmpfs('/x'), sizeBytes: 4096, mode: 0o700, exec: true, readOnly: true },
      ['rprivate', 'nosuid', 'nodev', 'ro', 'mode=700', 'size=4096'],
    ],
  ])('%j are %j', (mount, options) => {
    expect(optionsOf(mount)).toEqual(options);
  });

  it('reach no further than the mount where the kernel cannot do that', () => {
    expect(optionsOf(bind('/x', { readOnly: true }), false)).toEqual(['rbind', 'rprivate', 'nosuid', 'nodev', 'ro']);
  });

  it.each<MountSpec>([
    { type: 'bind', target: '/x' },
    { ...bind('/x'), sizeBytes: 1 },
    { ...bind('/x'), mode: 0o700 },
    { ...tmpfs('/x'), source: '/y' },
    { ...tmpfs('/x'), sizeBytes: 0 },
    { ...tmpfs('/x'), sizeBytes: 1.5 },
    { ...tmpfs('/x'), mode: 0o10000 },
  ])('cannot be those of %j', (mount) => {
    expect(() => optionsOf(mount)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
  });
});

describe('a directory that the image wants', () => {
  const mounts = [{ destination: '/mounted', type: 'tmpfs', source: 'tmpfs', options: [] }];

  it('is made where it is missing, by links inside', () => {
    const { view, directory } = rootfsOf({ l: { link: '/a' } });
    expect(makeDirectoryInside(view, '/l/b', mounts)).toMatchObject({ path: '/a/b' });
    expect(statSync(join(directory, 'a/b')).isDirectory()).toBe(true);
  });

  it('is not made where a mount will cover it', () => {
    const { view, directory } = rootfsOf({});
    makeDirectoryInside(view, '/mounted/x', mounts);
    expect(readdirSync(directory)).toEqual([]);
  });
});
