import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Provisioner } from '#src/index.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, temporaryDirectory } from '../helpers/test-store.js';

const run = promisify(execFile);
const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;
const FIXTURES = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const V1 = `oci:${join(FIXTURES, 'app-v1')}`;
const V2 = `oci:${join(FIXTURES, 'app-v2')}`;

/** Runs a module in another process, with a provisioner `p` on the store. */
function script(root: string, body: string): [string, string[]] {
  const code = `import { Provisioner } from '${LIBRARY}'; const p = await Provisioner.open({ root: '${root}' }); ${body}`;
  return [process.execPath, ['--input-type=module', '-e', code]];
}

describeWith(['root', 'overlay'], 'many containers at once', () => {
  test.each(['overlay', 'copy'] as const)(
    '100 provisions and destroys at once by %s leave no mount, no directory, no row',
    async (backend) => {
      const p = await openStore();
      await p.images.pull(V2, { name: 'app' });
      const made = await Promise.all(
        Array.from({ length: 100 }, (_, index) => p.provision(`job-${index}`, 'app', { backend })),
      );
      expect(new Set(made.map(({ rootfs }) => rootfs)).size).toBe(100);
      for (const { rootfs } of made) expect(existsSync(join(rootfs, 'app/main.sh'))).toBe(true);
      const destroyed = await Promise.all(made.map(({ containerId }) => p.destroy(containerId)));
      expect(destroyed).toEqual(Array(100).fill(true));
      await expectNoContainers(p);
      await p.close();
      expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
    },
  );

  test('2 000 provisions at once and 2 000 destroys at once wait for their turn: none fails, and nothing is left', async () => {
    const p = await openStore({ unsafeNoSync: true });
    await p.images.pull(V2, { name: 'app' });
    const ids = Array.from({ length: 2000 }, (_, index) => `job-${index}`);
    const made = await Promise.all(ids.map((id) => p.provision(id, 'app', { backend: 'overlay' })));
    expect(new Set(made.map(({ rootfs }) => rootfs)).size).toBe(2000);
    expect(mountsBelow(p.root).length).toBe(2000);
    expect((await Promise.all(ids.map((id) => p.destroy(id)))).every((destroyed) => destroyed)).toBe(true);
    await expectNoContainers(p);
  });

  test('600 provisions at once with few descriptors to spare wait for their turn without holding any', async () => {
    const p = await openStore({ unsafeNoSync: true });
    await p.images.pull(V2, { name: 'app' });
    const body = `await Promise.all(Array.from({ length: 600 }, (_, n) => p.provision('job-' + n, 'app', { backend: 'overlay' }))); await p.close();`;
    await run('sh', ['-c', 'ulimit -n 200; exec "$@"', 'sh', ...script(p.root, body).flat()]);
    expect(mountsBelow(p.root).length).toBe(600);
    const last = `await Promise.all(Array.from({ length: 600 }, (_, n) => p.destroy('job-' + n))); await p.close();`;
    await run('sh', ['-c', 'ulimit -n 200; exec "$@"', 'sh', ...script(p.root, last).flat()]);
    await expectNoContainers(p);
  });

  test('100 provisions and destroys from 4 processes leave no mount, no directory, no row', async () => {
    const p = await openStore();
    await p.images.pull(V2, { name: 'app' });
    const work = `for (let n = 0; n < 25; n++) {
      const id = 'w' + process.pid + '-' + n;
      console.log((await p.provision(id, 'app')).rootfs);
      if (!await p.destroy(id)) throw new Error(id + ' was not there');
    } await p.close();`;
    const outputs = await Promise.all(Array.from({ length: 4 }, () => run(...script(p.root, work))));
    const made = outputs.flatMap(({ stdout }) => stdout.trim().split('\n'));
    expect(new Set(made).size).toBe(100);
    await expectNoContainers(p);
    expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
  });

  test('provisions and destroys by command lines, 4 at a time, leave no mount, no directory, no row', async () => {
    const p = await openStore();
    await p.images.pull(V2, { name: 'app' });
    const cli = (...args: string[]) => run(process.execPath, [CLI, '--root', p.root, ...args]);
    await Promise.all(
      Array.from({ length: 4 }, async (_, worker) => {
        for (let index = 0; index < (WHOLE_RANGE ? 7 : 3); index++) {
          const id = `w${worker}-${index}`;
          const { stdout } = await cli('provision', id, 'app');
          expect(existsSync(join(stdout.trim(), 'app/main.sh'))).toBe(true);
          await cli('destroy', id);
        }
      }),
    );
    await expectNoContainers(p);
    expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
  });

  test('two provisions of one container from two processes both succeed, and one destroy removes both', async () => {
    const p = await openStore();
    await p.images.pull(V2, { name: 'app' });
    const once_ = () =>
      run(...script(p.root, `console.log((await p.provision('job', 'app')).rootfs); await p.close();`));
    const [one, two] = await Promise.all([once_(), once_()]);
    expect(one.stdout).not.toBe(two.stdout);
    expect((await p.containers.list())[0]?.rootfses).toHaveLength(2);
    expect(await p.destroy('job')).toBe(true);
    await expectNoContainers(p);
  });

  test('processes that pull two images sharing layers at the same time unpack each layer once', async () => {
    const p = await openStore();
    const pull = (source: string) =>
      run(
        ...script(
          p.root,
          `
        p.events.on('layerProgress', ({ phase, layer, bytes }) => { if (phase === 'unpacking' && bytes === 0) console.log(layer); });
        await p.images.pull('${source}', { name: 'app' }); await p.close();`,
        ),
      );
    const outputs = await Promise.all([pull(V1), pull(V2), pull(V1), pull(V2)]);
    const unpacked = outputs.flatMap(({ stdout }) => stdout.split('\n').filter((line) => line !== ''));
    expect(unpacked).toHaveLength(5);
    expect(new Set(unpacked).size).toBe(5);
    expect(readdirSync(join(p.root, 'staging'))).toEqual([]);
  });
});

describeWith(['root', 'overlay'], 'destroying a container', () => {
  test.each(['overlay', 'copy'] as const)(
    'by %s lets go of what is mounted in its rootfs and keeps what was mounted',
    async (backend) => {
      const p = await openStore();
      await p.images.pull(V2, { name: 'app' });
      const { rootfs } = await p.provision('job', 'app', { backend });
      const volume = temporaryDirectory();
      writeFileSync(join(volume, 'precious'), 'data');
      await run('mount', ['--bind', volume, join(rootfs, 'opt')]);
      await run('mount', ['-t', 'tmpfs', 'none', join(rootfs, 'tmp')]);
      expect(await p.destroy('job')).toBe(true);
      await p.close();
      expect(readFileSync(join(volume, 'precious'), 'utf8')).toBe('data');
      expect(mountsBelow(p.root)).toEqual([]);
      expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
      expect(readdirSync(join(p.root, 'containers'))).toEqual([]);
    },
  );
});

describeWith(['root', 'overlay'], 'two provisioners of one process on one store', () => {
  test("unpack each layer once and do not get in each other's way", async () => {
    const one = await openStore();
    const two = await openStore({ root: one.root });
    const unpacked: string[] = [];
    for (const p of [one, two]) {
      p.events.on('layerProgress', ({ phase, layer, bytes }) => {
        if (phase === 'unpacking' && bytes === 0) unpacked.push(layer);
      });
    }
    await Promise.all([
      one.images.pull(V1, { name: 'a' }),
      two.images.pull(V1, { name: 'b' }),
      one.images.pull(V2),
      two.images.pull(V2),
    ]);
    expect(new Set(unpacked).size).toBe(unpacked.length);
    const ids = Array.from({ length: 20 }, (_, index) => `job/${index % 5}`);
    await Promise.all(ids.map((id, index) => (index % 2 ? one : two).provision(id, 'a')));
    const destroyed = await Promise.all([one.destroy('job'), two.destroy('job'), two.destroy('job')]);
    expect(destroyed.filter(Boolean)).toHaveLength(1);
    await expectNoContainers(one);
    const single = Array.from({ length: 30 }, (_, index) => `single-${index}`);
    await Promise.all(single.map((id) => one.provision(id, 'a')));
    const told = await Promise.all(single.map((id) => Promise.all([one.destroy(id), two.destroy(id)])));
    expect(told.filter((both) => both.filter(Boolean).length !== 1)).toEqual([]);
  });
});

describeWith(['root', 'overlay'], 'a store that is opened again', () => {
  test('has its images, names and containers, and the changes in their rootfses', async () => {
    const root = join(temporaryDirectory(), 'store');
    const first = await Provisioner.open({ root });
    await first.images.pull(V2, { name: 'app:v2' });
    const { rootfs } = await first.provision('job', 'app:v2');
    writeFileSync(join(rootfs, 'mine'), 'changed');
    await first.close();

    const second = await openStore({ root });
    expect((await second.images.get('app:v2')).names).toEqual(['docker.io/library/app:v2']);
    const [container] = await second.containers.list();
    expect(container).toMatchObject({
      id: 'job',
      owner: 'default',
      rootfses: [{ rootfs, state: 'ready', backend: 'overlay' }],
    });
    expect(readFileSync(join(rootfs, 'mine'), 'utf8')).toBe('changed');
    expect(await second.destroy('job')).toBe(true);
    await expectNoContainers(second);
  });

  test('destroys what a process that was killed in the middle of provisioning left', async () => {
    const p = await openStore();
    await p.images.pull(V2, { name: 'app' });
    const child = spawn(
      ...script(
        p.root,
        `
      for (let i = 0; ; i++) { await p.provision('job/' + i, 'app', { backend: i % 2 ? 'copy' : 'overlay' }); if (i === 3) console.log('going'); }`,
      ),
    );
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await p.destroy('job')).toBe(true);
    await expectNoContainers(p);
    await p.close();
    expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
  });

  test('destroys the way to a root filesystem, wherever a process was killed that made it', async () => {
    const p = await openStore();
    await p.images.pull(V2, { name: 'app' });
    await p.provision('job', 'app');
    await p.provision('job/0', 'app', { backend: 'copy' });
    const backend = ['job', 'containers', '1', 'backends', 'overlay'];
    const ways = [...backend.keys()].map((last) => backend.slice(0, last + 1));
    for (const way of [...ways, [...backend, 'rootfses'], [...backend, 'scratch']]) {
      mkdirSync(join(p.root, 'containers', ...way), { recursive: true });
      expect(await p.destroy('job')).toBe(true);
      await expectNoContainers(p);
      mkdirSync(join(p.root, 'containers', ...way), { recursive: true });
      expect(await p.destroy('job')).toBe(false);
      await expectNoContainers(p);
      await p.provision('job', 'app');
    }
    await p.destroy('job');
  });

  test('a pull whose process was killed is done again by the next one that asks', async () => {
    const p = await openStore();
    const child = spawn(
      ...script(
        p.root,
        `
      p.events.on('layerProgress', ({ phase }) => { if (phase === 'unpacking') process.kill(process.pid, 'SIGKILL'); });
      await p.images.pull('${V2}', { name: 'app' });`,
      ),
    );
    await once(child, 'exit');
    expect(await p.images.list()).toEqual([]);
    await p.images.pull(V2, { name: 'app' });
    const { rootfs } = await p.provision('job', 'app');
    expect(existsSync(join(rootfs, 'app/main.sh'))).toBe(true);
  });
});
