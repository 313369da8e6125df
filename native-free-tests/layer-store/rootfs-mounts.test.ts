import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RootfsMounts } from '#src/layer-store/rootfs-mounts.js';
import { StorePaths } from '#src/paths.js';
import { mountNamespaceHere } from '#src/system/locks/mount-place.js';
import type { MountState } from '#src/system/syscalls/syscalls.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

/** A store's mounts, where the kernel tells this of each path; and how often its table was read. */
function bench(tell: (path: string) => MountState, table: readonly string[] = []) {
  const paths = new StorePaths(temporaryDirectory());
  mkdirSync(paths.containers);
  const read = { count: 0 };
  const readPoints = async () => {
    read.count++;
    return table.map((point) => join(paths.containers, point));
  };
  const mounts = new RootfsMounts(paths, { mountState: tell }, readPoints);
  return { mounts, read, at: (path: string) => join(paths.containers, path) };
}

const here = { ...mountNamespaceHere(), process: 'p' };
const before = { ...here, boot: 'of before' };

describe('what is mounted below the containers', () => {
  it('is asked of the kernel path by path, without its table, as long as everything is in its place', async () => {
    const { mounts, read, at } = bench((path) => (path.endsWith('/mounted') ? 'alone' : 'none'));
    for (let count = 0; count < 100; count += 1) {
      expect(await mounts.stateOf(at('job/mounted'), { id: 'mounted', mount: here })).toBe('mounted');
    }
    expect(await mounts.has(at('job/other'))).toBe(false);
    expect(read.count).toBe(0);
  });

  it('is looked up in the table, which is read once, where the kernel does not tell', async () => {
    const { mounts, read, at } = bench(() => 'unknown', ['job/mounted']);
    expect(await mounts.has(at('job/mounted'))).toBe(true);
    expect(await mounts.has(at('job/other'))).toBe(false);
    expect(read.count).toBe(1);
  });

  it.skipIf(here.boot === '' || here.namespace === '')(
    'is unmounted when no path leads to it, and elsewhere when another path does',
    async () => {
      const { mounts, read, at } = bench(() => 'none', ['alias/second']);
      for (const mount of [here, before]) {
        expect(await mounts.stateOf(at('job/first'), { id: 'first', mount })).toBe('unmounted');
        expect(await mounts.stateOf(at('job/second'), { id: 'second', mount })).toBe('elsewhere');
      }
      expect(read.count).toBe(1);
    },
  );

  it('may be elsewhere when it is not known where it was mounted, whatever the table says', async () => {
    const { mounts, read, at } = bench(() => 'none');
    expect(await mounts.stateOf(at('job/first'), { id: 'first', mount: undefined })).toBe('elsewhere');
    expect(read.count).toBe(0);
  });
});
