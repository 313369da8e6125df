import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { RootfsView } from '#src/containerizer/bundle/rootfs/rootfs-view.js';
import { requireNoMount } from '#src/containerizer/files/drafts.js';
import { MountedDirectory } from '#src/containerizer/files/mounts/mounted-directory.js';
import type { RecordedMount } from '#src/containerizer/files/mounts/recorded-mounts.js';
import { NativeFreeTreeCalls } from '#src/system/syscalls/native-free/native-free-tree-calls.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

const calls = new NativeFreeTreeCalls();
let place: string;
const at = (path: string) => join(place, path);
const bind = (source: string, isReadOnly = false): RecordedMount => ({ is: 'bind', source: at(source), isReadOnly });

beforeEach(() => {
  place = temporaryDirectory();
  for (const directory of ['root/data', 'root/scratch/below', 'root/etc', 'host/data/inner', 'host/other', 'outside'])
    mkdirSync(at(directory), { recursive: true });
  writeFileSync(at('root/etc/conf'), '');
  writeFileSync(at('root/data/covered'), 'covered');
  writeFileSync(at('root/scratch/covered'), 'covered');
  writeFileSync(at('host/conf'), 'conf');
  writeFileSync(at('host/data/file'), 'data');
  writeFileSync(at('host/other/file'), 'other');
  writeFileSync(at('outside/file'), 'outside');
});

/** Does something at a path of the tree with these mounts. */
function inTree<T>(
  mounts: Readonly<Record<string, RecordedMount>>,
  path: string,
  work: (directory: MountedDirectory, name: string) => T,
): T {
  const tree = { calls, containerId: 'job', mounts: new Map(Object.entries(mounts)) };
  const view = new RootfsView(calls, MountedDirectory.root(calls.openDirectory(at('root')), tree, false));
  try {
    const { directory, name } = view.hold(path);
    try {
      return work(directory as MountedDirectory, name);
    } finally {
      directory.close();
    }
  } finally {
    view.close();
  }
}

function read(mounts: Readonly<Record<string, RecordedMount>>, path: string): string {
  return inTree(mounts, path, (directory, name) => {
    const file = directory.openRegularFile(name);
    try {
      return readFileSync(file, 'utf8');
    } finally {
      calls.closeFile(file);
    }
  });
}

describe('a directory of a container whose program does not run', () => {
  it('has what was mounted in it, of mounts in mounts too', () => {
    const mounts = { '/data': bind('host/data'), '/data/inner': bind('host/other'), '/etc/conf': bind('host/conf') };
    expect(read(mounts, '/data/file')).toBe('data');
    expect(read(mounts, '/data/inner/file')).toBe('other');
    expect(read(mounts, '/etc/conf')).toBe('conf');
    expect(() => read(mounts, '/data/covered')).toThrow('ENOENT');
  });

  it('has links of a volume lead where they lead for the program', () => {
    const mounts = { '/data': bind('host/data'), '/etc/conf': bind('host/conf') };
    symlinkSync('/etc/conf', at('host/data/absolute'));
    symlinkSync('../../../../outside/file', at('host/data/up'));
    symlinkSync('/data/file', at('root/in'));
    expect(read(mounts, '/data/absolute')).toBe('conf');
    expect(read(mounts, '/in')).toBe('data');
    expect(() => read(mounts, '/data/up')).toThrow('ENOENT');
    expect(read(mounts, '/data/../etc/conf')).toBe('conf');
  });

  it('does not follow a symlink that has been put on the way to a source', () => {
    renameSync(at('host/data'), at('host/before'));
    symlinkSync(at('outside'), at('host/data'));
    for (const source of ['host/data', 'host/data/inner', 'host/missing'])
      expect(() => read({ '/data': bind(source) }, '/data/file'), source).toThrow(/there is no .* on this machine/);
  });

  it('changes nothing in what was read-only, and says of what is mounted that it is', () => {
    const mounts = { '/data': bind('host/data', true), '/etc/conf': bind('host/conf') };
    inTree(mounts, '/data', (directory) => {
      expect(() => directory.createFile('new', 0o600)).toThrow('EROFS');
      expect(() => directory.removeFile('file')).toThrow('EROFS');
      expect(() => directory.openDirectory('inner').makeDirectory('new')).toThrow('EROFS');
    });
    inTree(mounts, '/etc', (directory) => expect(() => requireNoMount(directory, 'conf')).toThrow('EBUSY'));
    expect(readdirSync(at('host/data')).sort()).toEqual(['file', 'inner']);
  });

  it('has nothing of a tmpfs but the place, and what was mounted below it from elsewhere', () => {
    const mounts = { '/scratch': { is: 'tmpfs' }, '/scratch/volume': bind('host/data') } as const;
    for (const path of ['/scratch/covered', '/scratch/new', '/scratch/below/deep/er'])
      expect(() => read(mounts, path), path).toThrow('/scratch is memory (tmpfs)');
    inTree(mounts, '/scratch', (directory) => {
      expect(directory.lost).toBe('tmpfs');
      expect(directory.status('').mode).toBeGreaterThan(0);
      expect(() => directory.cursor()).toThrow('tmpfs');
      expect(() => directory.createFile('new', 0o600)).toThrow('tmpfs');
    });
    expect(read(mounts, '/scratch/volume/file')).toBe('data');
  });
});
