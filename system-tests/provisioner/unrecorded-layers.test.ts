import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { StorePaths } from '#src/paths.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { mountsGone } from '../helpers/mounts-elsewhere.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const top = buildLayer([{ path: 'app', content: 'v1' }]);
const app = buildImage([base, top]);
const LAYERS = [base.diffId, top.diffId];

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const sh = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' }).toString();

async function store(root?: string): Promise<Provisioner> {
  const p = await openStore(root === undefined ? {} : { root });
  await pullImages(p, { 'app:v1': app });
  return p;
}

/** Takes image and layers out of the records behind the program's back, and the containers when asked to. */
function forget(p: Provisioner, { containers = false } = {}): void {
  const database = new Driver(join(p.root, 'metadata.sqlite'));
  try {
    const tables = ['image_name', 'index_choice', 'image_document', 'image', ...(containers ? ['rootfs'] : [])];
    for (const table of [...tables, 'stack_layer', 'stack', 'layer']) database.exec(`DELETE FROM ${table}`);
  } finally {
    database.close();
  }
}

const present = (p: Provisioner) => LAYERS.map((id) => existsSync(new StorePaths(p.root).layerRootfs(id)));

/** All who could take a layer that no record names: none may. */
async function expectKept(p: Provisioner, reason: RegExp): Promise<void> {
  const recovered = await p.recover();
  expect(recovered.retired).toEqual([]);
  const paths = LAYERS.map((id) => new StorePaths(p.root).layer(id)).sort();
  expect([...recovered.kept].sort((one, other) => (one.path < other.path ? -1 : 1))).toEqual(
    paths.map((path) => ({ path, reason: expect.stringMatching(reason) })),
  );
  const checked = await p.store.check({ repair: true });
  const outcomes = checked.findings.filter(({ code }) => code === 'LAYER_UNRECORDED').map(({ outcome }) => outcome);
  expect(outcomes).toMatchObject(paths.map(() => ({ state: 'failed', message: expect.stringMatching(reason) })));
  await p.pruneImages();
  await p.store.swept();
  expect(present(p)).toEqual([true, true]);
}

/** Nothing shows them any more, so the next one to look takes them. */
async function expectTaken(p: Provisioner, by: 'recover' | 'check'): Promise<void> {
  await mountsGone(basename(dirname(p.root)));
  if (by === 'recover') expect((await p.recover()).retired).toHaveLength(2);
  else
    expect((await p.store.check({ repair: true })).findings.map(({ outcome }) => outcome?.state)).toEqual([
      'healed',
      'healed',
    ]);
  await p.store.swept();
  expect(present(p)).toEqual([false, false]);
}

/** Both layers, mounted by somebody else where no record tells of it. */
function mountOverlay(p: Provisioner): string {
  const place = temporaryDirectory();
  const [target, upper, work] = ['target', 'upper', 'work'].map((name) => join(place, name)) as [
    string,
    string,
    string,
  ];
  for (const directory of [target, upper, work]) mkdirSync(directory);
  const paths = new StorePaths(p.root);
  const lower = LAYERS.toReversed().map((id) => paths.layerRootfs(id));
  sh('mount', '-t', 'overlay', 'x', '-o', `lowerdir=${lower.join(':')},upperdir=${upper},workdir=${work}`, target);
  return target;
}

describeWith(['root', 'overlay', 'mount'], 'a layer that no record names', () => {
  test.each(['recover', 'check'] as const)('stays while an overlay shows it, and goes with the next %s', async (by) => {
    const p = await store();
    const target = mountOverlay(p);
    forget(p);
    await expectKept(p, /a mount of this machine shows it/);
    expect(readFileSync(join(target, 'etc/name'), 'utf8')).toBe('base');
    sh('umount', target);
    await expectTaken(p, by);
  });

  test('stays while a bind mount shows it or a part of it', async () => {
    const p = await store();
    const paths = new StorePaths(p.root);
    const places = [temporaryDirectory(), temporaryDirectory()] as const;
    sh('mount', '--bind', join(paths.layerRootfs(LAYERS[0] as string), 'etc'), places[0]);
    sh('mount', '--bind', paths.layerRootfs(LAYERS[1] as string), places[1]);
    forget(p);
    await expectKept(p, /a mount of this machine shows it/);
    for (const place of places) sh('umount', place);
    await expectTaken(p, 'recover');
  });

  test('stays while it is shown in another mount namespace, also one that has left the store’s path behind', async () => {
    const p = await store();
    const place = temporaryDirectory();
    const paths = new StorePaths(p.root);
    const lower = LAYERS.toReversed().map((id) => paths.layerRootfs(id).replace(p.root, join(place, 'alias')));
    // As a container does: it has the store under another name, mounts, and makes the mount its root.
    const script = `
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    encoded = [a.encode() if isinstance(a, str) else a for a in args]
    if getattr(libc, name)(*encoded) < 0: sys.exit(name + ': ' + os.strerror(ctypes.get_errno()))
place = '${place}'
for name in ('alias', 'target', 'own'): os.mkdir(place + '/' + name)
call('mount', '${p.root}', place + '/alias', None, 4096, None)
call('mount', 'own', place + '/own', 'tmpfs', 0, None)
for name in ('upper', 'work'): os.mkdir(place + '/own/' + name)
options = 'lowerdir=${lower.join(':')},upperdir=%s/own/upper,workdir=%s/own/work' % (place, place)
call('mount', 'x', place + '/target', 'overlay', 0, options)
print('ready', flush=True); sys.stdin.readline()
os.mkdir(place + '/target/old')
os.chdir(place + '/target')
subprocess.run(['pivot_root', '.', 'old'], check=True)
call('umount2', '/old', 2)
print('pivoted', flush=True); sys.stdin.readline()`;
    const child = spawn('unshare', ['--mount', '--propagation', 'private', 'python3', '-c', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const closed = once(child, 'close');
    const end = async () => {
      child.kill('SIGKILL');
      await closed;
    };
    undo.push(end);
    const says = async () => String((await Promise.race([once(child.stdout, 'data'), closed]))[0]).trim();
    expect(await says()).toBe('ready');
    forget(p);
    await expectKept(p, /a mount of this machine shows it/);
    child.stdin.write('go\n');
    expect(await says()).toBe('pivoted');
    await expectKept(p, /a mount of this machine shows it/);
    await end();
    await expectTaken(p, 'recover');
  });

  test('stays while a mount may show it of which neither its options nor the records tell the layers', async () => {
    // So long a path is handed to the kernel by its descriptor.
    const root = join(temporaryDirectory(), 'long'.repeat(60));
    const p = await store(root);
    await p.provision('job', 'app:v1');
    forget(p, { containers: true });
    const checked = await p.store.check({ repair: true });
    const outcomes = checked.findings.filter(({ code }) => code === 'LAYER_UNRECORDED').map(({ outcome }) => outcome);
    expect(outcomes).toMatchObject(
      LAYERS.map(() => ({ state: 'failed', message: expect.stringMatching(/may show it/) })),
    );
    expect(present(p)).toEqual([true, true]);
    expect(await p.destroy('job')).toBe(true);
    await expectTaken(p, 'check');
  });

  test('is of no interest to another store, which shows the same layer', async () => {
    const [p, other] = [await store(), await store()];
    await other.provision('job', 'app:v1');
    forget(p);
    await expectTaken(p, 'recover');
    await other.destroy('job');
  });

  test('is taken up again by a pull of its image while something shows it', async () => {
    const p = await store();
    const target = mountOverlay(p);
    forget(p);
    await pullImages(p, { 'app:v1': app });
    await p.store.swept();
    expect(readFileSync(join(target, 'etc/name'), 'utf8')).toBe('base');
    expect((await p.store.check({ full: true })).findings).toEqual([]);
    const { rootfs } = await p.provision('job', 'app:v1');
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
    sh('umount', target);
  });
});

describeWith(['root', 'overlay'], 'layers under mounted containers whose records were lost', () => {
  test('are left alone by a repair, which says why, and by the healing of what is pulled again', async () => {
    const before = await store();
    const { rootfs } = await before.provision('job', 'app:v1');
    await before.close();
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(before.root, `metadata.sqlite${suffix}`), { force: true });
    const p = await openStore({ root: before.root });
    const first = await p.store.check({ repair: true });
    expect(
      first.findings.filter(({ code }) => code === 'LAYER_UNRECORDED').map(({ outcome }) => outcome),
    ).toMatchObject(LAYERS.map(() => ({ state: 'failed', message: expect.stringContaining('the records were lost') })));
    await p.store.swept();
    expect(readFileSync(join(rootfs, 'etc/name'), 'utf8')).toBe('base');
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');

    await pullImages(p, { 'app:v1': app });
    rmSync(join(new StorePaths(p.root).layerRootfs(top.diffId), 'app'));
    const second = await p.store.check({ full: true, repair: true });
    expect(second.findings.find(({ code }) => code === 'LAYER_DAMAGED')?.outcome).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('cannot be replaced now: the records were lost'),
    });
    await p.store.swept();
    expect(readFileSync(join(rootfs, 'etc/name'), 'utf8')).toBe('base');

    await p.destroy('job');
    await p.recover();
    const third = await p.store.check({ full: true, repair: true });
    expect(third.findings.find(({ code }) => code === 'LAYER_DAMAGED')?.outcome).toMatchObject({ state: 'healed' });
    expect(readdirSync(new StorePaths(p.root).layerRootfs(top.diffId))).toEqual(['app']);
  });
});
