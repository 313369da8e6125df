import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type Backend,
  isMountedBackend,
  type RootfsRequest,
  rootAttributesOf,
  type StackedLayer,
} from '#src/backends/backend.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

export interface BackendUnderTest {
  readonly make: () => Backend;
  /** Marks in a layer's directory that this name is gone from the layers below. */
  readonly hide: (directory: string, name: string) => void;
  /** Marks that a layer's directory shows nothing of the layers below. */
  readonly close: (directory: string) => void;
  /** Whether something is mounted there. */
  readonly isMounted: (path: string) => boolean;
  /** Takes the mount away, as the end of the machine does. */
  readonly unmount: (path: string) => void;
  /** Whether it shows several layers as one, and lets their files be changed. Default: yes. */
  readonly merges?: false;
}

/** A test that is none for what the suite runs over. */
const NOT_PROMISED = (_title: string, _test: () => unknown): void => {};

/** What every backend promises of a root filesystem, from its description to its end. */
export function describeBackend(
  kind: string,
  { make, hide, close, isMounted, unmount, merges }: BackendUnderTest,
): void {
  const isMerging = merges ?? true;
  /** What is promised by those that merge layers, and by those that show a single one. */
  const merging = isMerging ? it : NOT_PROMISED;
  const single = isMerging ? NOT_PROMISED : it;

  /** A layer with these files, made below a directory that is gone after the test. */
  function layer(files: Readonly<Record<string, string>>, properties: Partial<StackedLayer> = {}): StackedLayer {
    const rootfs = join(temporaryDirectory(), 'layer');
    mkdirSync(rootfs);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(rootfs, path, '..'), { recursive: true });
      writeFileSync(join(rootfs, path), content);
    }
    const id = `sha256:${(++layers).toString(16).padStart(64, '0')}` as const;
    return {
      id,
      rootfs,
      bytes: 0,
      entries: 0,
      opaqueRoot: false,
      whiteouts: false,
      describesRoot: false,
      tar: 'kept',
      tarBytes: 64,
      ...properties,
    };
  }
  let layers = 0;

  /** Empty directories, as the caller of a backend makes them. */
  function request(stack: readonly StackedLayer[], more: Partial<RootfsRequest> = {}): RootfsRequest {
    const place = temporaryDirectory();
    const [rootfs, scratch] = [join(place, 'rootfs'), join(place, 'scratch')];
    mkdirSync(rootfs);
    mkdirSync(scratch);
    return { layers: stack, rootAttributes: rootAttributesOf(stack), rootfs, scratch, ...more };
  }

  const read = (rootfs: string, path: string) => readFileSync(join(rootfs, path), 'utf8');
  const everythingIn = (directory: string) => (readdirSync(directory, { recursive: true }) as string[]).toSorted();

  /** Takes a rootfs apart as its caller does: what stays in the two directories afterwards is told. */
  async function takenApart(backend: Backend, { rootfs, scratch }: RootfsRequest, aside = false): Promise<string[]> {
    await backend.destroy(rootfs, aside);
    expect(existsSync(rootfs) && isMounted(rootfs)).toBe(false);
    for (const directory of backend.ownDirectories(scratch)) if (existsSync(directory)) rmdirSync(directory);
    return readdirSync(scratch);
  }

  describe(`the backend ${kind}`, () => {
    it('is known by its name', () => {
      const { name, mounts } = make();
      expect(isMountedBackend(name)).toBe(mounts);
    });

    it('says that it works, and leaves nothing of its trial', () => {
      const place = temporaryDirectory();
      expect(make().probe(() => join(place, 'probe-'))).toMatchObject({ usable: true });
      expect(readdirSync(place)).toEqual([]);
    });

    it('describes a rootfs by where its layers are, and makes nothing', () => {
      const backend = make();
      const { layers: stack, rootfs, scratch } = request([layer({ a: '1' })]);
      const description = backend.describe(stack, scratch);
      expect(description.type).toBe(backend.name);
      expect(JSON.stringify(description)).toContain(stack[0]?.rootfs);
      expect([everythingIn(rootfs), everythingIn(scratch)]).toEqual([[], []]);
    });

    it('shows the files of a layer, and the root as that layer has it', async () => {
      const backend = make();
      const one = layer({ 'etc/motd': 'welcome' }, { describesRoot: true });
      chmodSync(one.rootfs, 0o751);
      const wanted = request([one]);
      await backend.provision(wanted);
      expect(everythingIn(wanted.rootfs)).toEqual(['etc', 'etc/motd']);
      expect(read(wanted.rootfs, 'etc/motd')).toBe('welcome');
      expect(statSync(wanted.rootfs).mode & 0o7777).toBe(0o751);
      expect(isMounted(wanted.rootfs)).toBe(backend.mounts);
      await takenApart(backend, wanted);
    });

    merging('shows of several layers what the topmost says', async () => {
      const backend = make();
      const bottom = layer({ kept: 'bottom', changed: 'bottom', gone: 'bottom', 'd/old': 'bottom' });
      const top = layer({ changed: 'top', 'd/new': 'top' }, { whiteouts: true });
      hide(top.rootfs, 'gone');
      close(join(top.rootfs, 'd'));
      // The same layer twice is the layer where it is topmost.
      const wanted = request([top, bottom, top]);
      await backend.provision(wanted);
      expect(everythingIn(wanted.rootfs)).toEqual(['changed', 'd', 'd/new', 'kept']);
      expect([read(wanted.rootfs, 'kept'), read(wanted.rootfs, 'changed')]).toEqual(['bottom', 'top']);
      await takenApart(backend, wanted);
    });

    merging('shows nothing of what a layer hides as a whole', async () => {
      const backend = make();
      const wanted = request([layer({ below: '' }), layer({ above: '' }, { opaqueRoot: true })]);
      await backend.provision(wanted);
      expect(everythingIn(wanted.rootfs)).toEqual(['above']);
      await takenApart(backend, wanted);
    });

    merging(
      'changes no layer, whatever is written, and tells by what is left in its directories that something was',
      async () => {
        const backend = make();
        const one = layer({ changed: 'old', gone: '', 'd/kept': '' });
        const wanted = request([one]);
        await backend.provision(wanted);
        writeFileSync(join(wanted.rootfs, 'changed'), 'new');
        rmSync(join(wanted.rootfs, 'gone'));
        expect([read(wanted.rootfs, 'changed'), everythingIn(wanted.rootfs)]).toEqual([
          'new',
          ['changed', 'd', 'd/kept'],
        ]);
        expect([read(one.rootfs, 'changed'), everythingIn(one.rootfs)]).toEqual([
          'old',
          ['changed', 'd', 'd/kept', 'gone'],
        ]);
        await backend.destroy(wanted.rootfs, false);
        const left = [wanted.rootfs, wanted.scratch].filter(existsSync).flatMap((path) => everythingIn(path));
        expect(left).toContainEqual(expect.stringMatching(/changed$/));
      },
    );

    single('lets nobody write', async () => {
      const backend = make();
      const wanted = request([layer({ a: '' })]);
      await backend.provision(wanted);
      expect(() => writeFileSync(join(wanted.rootfs, 'b'), '')).toThrow(/EROFS/);
      await takenApart(backend, wanted);
    });

    single('refuses what it cannot show before it makes anything', async () => {
      const backend = make();
      for (const stack of [[layer({ a: '' }), layer({ b: '' })], [layer({ a: '' }, { whiteouts: true })]]) {
        const wanted = request(stack);
        expect(() => backend.describe(wanted.layers, wanted.scratch)).toThrow(
          expect.objectContaining({ code: 'ERR_BACKEND_LIMIT' }),
        );
        await expect(backend.provision(wanted)).rejects.toMatchObject({ code: 'ERR_BACKEND_LIMIT' });
        expect([everythingIn(wanted.rootfs), everythingIn(wanted.scratch)]).toEqual([[], []]);
      }
    });

    it.each([false, true])('leaves nothing of a rootfs in which nobody wrote (aside: %s)', async (aside) => {
      const backend = make();
      const wanted = request([layer({ a: '' })], { aside });
      await backend.provision(wanted);
      expect(await takenApart(backend, wanted, aside)).toEqual([]);
    });

    it('does no harm where there is nothing to destroy, or half of something', async () => {
      const backend = make();
      const wanted = request([layer({ a: '' })]);
      await backend.destroy(wanted.rootfs, false);
      const [half] = backend.ownDirectories(wanted.scratch);
      if (half !== undefined) mkdirSync(half);
      await backend.destroy(wanted.rootfs, true);
      expect(await takenApart(backend, wanted)).toEqual([]);
      if (existsSync(wanted.rootfs)) rmdirSync(wanted.rootfs);
      await backend.destroy(wanted.rootfs, false);
    });

    it('leaves nothing that destroying does not take, when it is given up', async () => {
      const backend = make();
      const wanted = request([layer({ a: '' })], { signal: AbortSignal.abort() });
      await backend.provision(wanted).catch(() => {});
      expect(await takenApart(backend, wanted)).toEqual([]);
    });

    it('shows again, after the end of the machine, what it showed', async () => {
      const backend = make();
      const wanted = request([layer({ a: 'old' })]);
      await backend.provision(wanted);
      if (isMerging) writeFileSync(join(wanted.rootfs, 'a'), 'new');
      if (backend.mounts) unmount(wanted.rootfs);
      await backend.restore(wanted);
      expect(read(wanted.rootfs, 'a')).toBe(isMerging ? 'new' : 'old');
      expect(isMounted(wanted.rootfs)).toBe(backend.mounts);
      await backend.destroy(wanted.rootfs, false);
    });

    it('takes nobody for a user of a rootfs that is not shown', async () => {
      const backend = make();
      const wanted = request([layer({ a: '' })]);
      expect(backend.isInUse(wanted.scratch)).toBe(false);
      await backend.provision(wanted);
      // Where nothing is written to, no second mount does harm.
      expect(backend.isInUse(wanted.scratch)).not.toBe(!(backend.mounts && isMerging));
      if (backend.mounts) expect(backend.mayBeMounted(wanted.scratch)).toBe(true);
      await backend.destroy(wanted.rootfs, false);
      expect(backend.isInUse(wanted.scratch)).toBe(false);
      if (!backend.mounts) expect(backend.mayBeMounted(wanted.scratch)).toBe(false);
    });

    it('makes in its scratch directory only what it says that it makes', async () => {
      const backend = make();
      const wanted = request([layer({ a: '' })]);
      await backend.provision(wanted);
      const made = everythingIn(wanted.scratch).map((path) => join(wanted.scratch, path));
      expect(made.filter((path) => !backend.ownDirectories(wanted.scratch).includes(path))).toEqual([]);
      for (const path of made) expect(lstatSync(path).isDirectory(), path).toBe(true);
      await takenApart(backend, wanted);
    });
  });
}
