import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';
import { APP_V1, APP_V2, madeStore, newStore, pulledStore } from './run-cli.js';

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
/** Of `ps`. */
type PsDocument = { id: string; owner: string; rootfses: { state: string; mount: string | null }[] }[];

const stores: ReturnType<typeof newStore>[] = [];

/** A store into which something was pulled, and whose containers go with the test. @param sources nothing is pulled, and no store made, when there is none */
async function containerStore(...sources: string[]) {
  const store = sources.length > 0 ? await pulledStore(...sources) : { ...newStore(), digests: [] };
  stores.push(store);
  return store;
}

afterEach(async () => {
  for (const { json, lines } of stores.splice(0)) {
    for (const { id } of (await json('ps')) as { id: string }[]) {
      if (!id.includes('/')) await lines('destroy', id, '--any-owner');
    }
  }
});

describeWith(['root', 'overlay'], 'provisioner provision', () => {
  it.each(['overlay', 'copy'])('names a layer whose files are gone, and leaves nothing (%s)', async (backend) => {
    const { run, root } = await containerStore(APP_V1);
    const layers = readdirSync(join(root, 'layers'));
    for (const layer of layers) {
      const directory = join(root, 'layers', layer);
      renameSync(directory, `${root}.gone`);
      const { status, stderr } = await run(['provision', 'job-1', 'app:v1', '--backend', backend, '--json']);
      const { error } = JSON.parse(stderr);
      expect({ status, error }).toMatchObject({
        status: 1,
        error: {
          code: 'ERR_STORE_DAMAGED',
          message: expect.stringContaining(layer),
          hint: expect.stringContaining('provisioner check --repair'),
        },
      });
      renameSync(`${root}.gone`, directory);
    }
    expect(readdirSync(join(root, 'containers'))).toEqual([]);
  });

  it('prints nothing but the absolute path of a root filesystem that shows the image', async () => {
    const { lines, root } = await containerStore(APP_V1);
    const [rootfs = '', ...more] = await lines('provision', 'job-1', 'app:v1');
    expect(more).toEqual([]);
    expect(rootfs.startsWith(`${root}/`)).toBe(true);
    expect(readFileSync(join(rootfs, 'app/main.sh'), 'utf8')).toContain('echo app v1');
    expect(mountsBelow(root)).toEqual([rootfs]);
  });

  it('makes another one for a container that has one', async () => {
    const { lines } = await containerStore(APP_V1, APP_V2);
    const [one = ''] = await lines('provision', 'job-1', 'app:v1');
    const [two = ''] = await lines('provision', 'job-1', 'app:v2');
    expect(two).not.toBe(one);
    expect(readFileSync(join(one, 'app/main.sh'), 'utf8')).toContain('v1');
    expect(readFileSync(join(two, 'app/main.sh'), 'utf8')).toContain('v2');
  });

  it('says all about it with --json', async () => {
    const {
      json,
      digests: [image],
    } = await containerStore(APP_V1);
    const made = await json('provision', 'pod/job', 'app:v1', '--backend', 'copy');
    expect(made).toEqual({
      containerId: 'pod/job',
      rootfsId: expect.any(String),
      rootfs: expect.stringMatching(/^\//),
      backend: 'copy',
      image,
      runtime: {
        env: ['PATH=/usr/bin:/bin', 'APP_VERSION=v1'],
        entrypoint: ['/bin/sh'],
        cmd: ['/app/main.sh'],
        user: '1000:1001',
        workingDir: '/app',
        labels: { version: 'v1' },
        stopSignal: 'SIGTERM',
        volumes: [],
      },
    });
  });

  it('pulls an image that is given by its source, for the platform asked for', async () => {
    const { lines, json } = await containerStore();
    const [rootfs = ''] = await lines('provision', 'job-1', APP_V1, '--platform', 'linux/arm64');
    expect(existsSync(join(rootfs, 'app/main.sh'))).toBe(true);
    expect(await json('images')).toMatchObject([{ platform: 'linux/arm64' }]);
  });

  it.each(['overlay', 'copy'])('makes it with the backend %s when told so', async (backend) => {
    const { lines, json } = await containerStore(APP_V1);
    const [rootfs = ''] = await lines('provision', 'job-1', 'app:v1', '--backend', backend);
    expect(existsSync(join(rootfs, 'app/main.sh'))).toBe(true);
    expect(await json('ps')).toMatchObject([{ rootfses: [{ backend }] }]);
  });

  it('shows an image of one layer with the backend bind', async () => {
    const { lines } = await containerStore();
    const layout = join(temporaryDirectory(), 'layout');
    const image = buildImage([buildLayer([{ path: 'hello', content: 'hello\n' }])]);
    await writeOciLayout(layout, [{ image, refName: 'small:v1' }]);
    await lines('pull', `oci:${layout}`);
    const [rootfs = ''] = await lines('provision', 'job-1', 'small:v1', '--backend', 'bind');
    expect(readFileSync(join(rootfs, 'hello'), 'utf8')).toBe('hello\n');
  });

  it.each([
    ['an unknown image of a registry that is not there', ['job-1', 'localhost:1/nope'], 'ERR_REGISTRY_UNREACHABLE'],
    ['the digits of no image', ['job-1', `sha256:${'0'.repeat(64)}`], 'ERR_IMAGE_NOT_FOUND'],
    ['an image that may not be pulled', ['job-1', 'nope', '--policy', 'never'], 'ERR_IMAGE_NOT_FOUND'],
    ['a bad reference', ['job-1', 'APP'], 'ERR_BAD_REFERENCE'],
    ['a container id that climbs out', ['../x', 'app:v1'], 'ERR_BAD_CONTAINER_ID'],
    ['an absolute container id', ['/etc', 'app:v1'], 'ERR_BAD_CONTAINER_ID'],
    ['an empty container id', ['', 'app:v1'], 'ERR_BAD_CONTAINER_ID'],
    ['an image with more layers than bind shows', ['job-1', 'app:v1', '--backend', 'bind'], 'ERR_BACKEND_LIMIT'],
  ])('refuses %s with status 1 and leaves nothing', async (_, args, code) => {
    const { run, json, root } = await containerStore(APP_V1);
    const { status, stdout, stderr } = await run(['provision', ...args, '--json']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({ error: { code } });
    expect(await json('ps')).toEqual([]);
    expect(mountsBelow(root)).toEqual([]);
  });

  it.each(['--owner', '--authfile', '--cert-dir', '--max-size'])(
    'refuses an empty %s as wrong usage, and makes no store',
    async (option) => {
      const { run, root } = newStore();
      const { status, stdout, stderr } = await run(['provision', 'a', 'app:v1', option, '']);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toBe(`provisioner: ${option} is empty\nhint: give it a value, or leave it out\n`);
      expect(existsSync(root)).toBe(false);
    },
  );

  it('refuses an unknown backend as wrong usage', async () => {
    const { status, stdout, stderr } = await newStore().run(['provision', 'a', 'app:v1', '--backend', 'zfs']);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^provisioner: .*'zfs'.*auto, overlay, copy, bind.*\nhint: .*\n$/);
  });
});

describeWith(['root', 'overlay'], 'provisioner ps', () => {
  it('lists one row for each root filesystem with the name that its image has', async () => {
    const {
      lines,
      digests: [id = ''],
    } = await containerStore(APP_V1);
    const [one = ''] = await lines('provision', 'job-1', 'app:v1', '--owner', 'agent-7');
    await lines('rmi', 'app:v1');
    const [two = ''] = await lines('provision', 'job-2', id, '--backend', 'copy');
    await lines('tag', id, 'app:new');
    const [headings = '', ...rows] = await lines('ps');
    expect(headings.split(/ {2,}/)).toEqual([
      'CONTAINER',
      'OWNER',
      'IMAGE',
      'STATUS',
      'BACKEND',
      'STATE',
      'MOUNT',
      'AGE',
      'ROOTFS',
    ]);
    const age = expect.stringMatching(/^\d+ seconds?$/);
    expect(rows.map((row) => row.split(/ {2,}/))).toEqual([
      ['job-1', 'agent-7', 'docker.io/library/app:new', 'provisioned', 'overlay', 'ready', 'mounted', age, one],
      ['job-2', 'default', 'docker.io/library/app:new', 'provisioned', 'copy', 'ready', '-', age, two],
    ]);
    await lines('rmi', 'app:new');
    expect((await lines('ps'))[1]?.split(/ {2,}/)[2]).toBe(id.slice(7, 19));
  });

  it('lists the same with --json', async () => {
    const {
      lines,
      json,
      digests: [image],
    } = await containerStore(APP_V1);
    const [rootfs] = await lines('provision', 'pod/job', 'app:v1');
    expect(await json('ps')).toEqual([
      {
        id: 'pod/job',
        owner: 'default',
        created: expect.stringMatching(TIME),
        pool: null,
        launch: null,
        rootfses: [
          {
            id: expect.any(String),
            image,
            backend: 'overlay',
            state: 'ready',
            mount: 'mounted',
            created: expect.stringMatching(TIME),
            rootfs,
            layers: expect.arrayContaining([expect.stringMatching(DIGEST)]),
          },
        ],
      },
    ]);
    await lines('destroy', 'pod');
  });

  it('calls nothing ready that is not mounted here, and tells an unmounted one from one that may be mounted elsewhere', async () => {
    const { lines, json, root } = await containerStore(APP_V1);
    const [rootfs = ''] = await lines('provision', 'job', 'app:v1', '--backend', 'overlay');
    const states = async () =>
      ((await json('ps')) as PsDocument)[0]?.rootfses.map(({ state, mount }) => [state, mount]);
    expect(await states()).toEqual([['ready', 'mounted']]);
    loadSyscalls().detachMount(rootfs);
    expect(await states()).toEqual([['unmounted', 'unmounted']]);
    expect((await lines('ps'))[1]?.split(/ {2,}/).slice(5, 7)).toEqual(['unmounted', 'unmounted']);
    const recorded = (changes: string) => {
      const database = new Driver(join(root, 'metadata.sqlite'));
      database.exec(`UPDATE rootfs SET ${changes}`);
      database.close();
    };
    recorded("mount_namespace = 'mnt:[1]'");
    expect(await states()).toEqual([['elsewhere', 'elsewhere']]);
    recorded("mount_boot = 'before the last reboot'");
    expect(await states()).toEqual([['unmounted', 'unmounted']]);
    // As a release recorded it that kept no places: nothing is known.
    recorded('mount_boot = NULL, mount_namespace = NULL, mount_process = NULL');
    expect(await states()).toEqual([['elsewhere', 'elsewhere']]);
    expect(await lines('recover')).toEqual([`mounted ${rootfs} again`]);
    expect(await states()).toEqual([['ready', 'mounted']]);
    await lines('destroy', 'job');
  });
});

describeWith(['root', 'overlay'], 'the owner of a container', () => {
  it('is asked of who would change it, by provision and by destroy, and everybody may read', async () => {
    const { lines, run, json } = await containerStore(APP_V1);
    await lines('provision', 'job', 'app:v1', '--owner', 'A');
    for (const args of [
      ['provision', 'job', 'app:v1'],
      ['provision', 'job', 'app:v1', '--owner', 'B'],
      ['destroy', 'job'],
      ['destroy', 'job', '--owner', 'B'],
    ]) {
      const { status, stdout, stderr } = await run(args);
      expect([status, stdout]).toEqual([1, '']);
      expect(stderr).toBe(
        'provisioner: container job belongs to the owner "A"\n' +
          'hint: act as that owner with --owner "A", or say --any-owner to change it all the same\n',
      );
    }
    const owners = async () =>
      ((await json('ps')) as PsDocument).map(({ id, owner, rootfses }) => [id, owner, rootfses.length]);
    expect(await owners()).toEqual([['job', 'A', 1]]);
    await lines('provision', 'job', 'app:v1', '--owner', 'A');
    await lines('provision', 'job', 'app:v1', '--owner', 'B', '--any-owner');
    expect(await owners()).toEqual([['job', 'A', 3]]);
    expect(await lines('destroy', 'job', '--owner', 'A')).toEqual(['job']);
    await lines('provision', 'job', 'app:v1', '--owner', 'B');
    expect(await owners()).toEqual([['job', 'B', 1]]);
    expect(await lines('destroy', 'job', '--any-owner')).toEqual(['job']);
  });
});

describeWith(['root', 'overlay'], 'provisioner destroy', () => {
  it('removes containers with those nested in them, and prints the ids given', async () => {
    const { lines, json, root } = await containerStore(APP_V1);
    for (const id of ['job-1', 'job-1/child', 'job-2']) await lines('provision', id, 'app:v1');
    expect(await lines('destroy', 'job-1')).toEqual(['job-1']);
    expect(await json('destroy', 'job-2')).toEqual([{ id: 'job-2' }]);
    expect(await json('ps')).toEqual([]);
    expect(mountsBelow(root)).toEqual([]);
  });

  it('removes the others when some are unknown, tells each in a line, and ends with status 1', async () => {
    const { lines, run, json } = await containerStore(APP_V1);
    for (const id of ['job-1', 'job-2']) await lines('provision', id, 'app:v1');
    const { status, stdout, stderr } = await run(['destroy', 'none', 'job-1', '../job-2', 'job-2']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: 'job-1\njob-2\n' });
    expect(stderr.match(/^provisioner: .*$/gm)).toEqual([
      'provisioner: no container "none" in this store',
      expect.stringContaining('"../job-2"'),
    ]);
    expect(await json('ps')).toEqual([]);
  });
});

describeWith(['root', 'overlay'], 'provisioner info', () => {
  it('shows the store, the versions and which backends work', async () => {
    const { lines, root } = await madeStore();
    const shown = await lines('info');
    expect(shown[0]?.split(/: +/)).toEqual(['root', root]);
    expect(shown.map((line) => line.split(/: +/)[0])).toEqual(
      expect.arrayContaining(['format', 'provisioner', 'node']),
    );
    const [, table = [], runtimes = []] = shown
      .join('\n')
      .split('\n\n')
      .map((part) => part.split('\n').map((line) => line.split(/ {2,}/)));
    expect(table.map((row) => row.slice(0, 3))).toEqual([
      ['BACKEND', 'USABLE', 'CHOSEN'],
      ['overlay', 'yes', 'yes'],
      ['copy', 'yes', 'no'],
      ['bind', 'yes', 'no'],
    ]);
    expect(table.every(([, , , reason]) => reason !== undefined && reason !== '')).toBe(true);
    expect(runtimes[0]?.join(' ')).toMatch(/^RUNTIME VERSION DEFAULT PROGRAM KNOWN HOLES$|^no runtime: /);
  });

  it('tells that gzip is left to zlib when ISA-L is turned off, and layers are the same', async () => {
    const { run } = newStore();
    const env = { PROVISIONER_ISAL: 'off' };
    expect(await run(['pull', APP_V1], { env })).toMatchObject({ status: 0 });
    const shown = await run(['info'], { env });
    expect(shown.stdout).toMatch(/^gzip: +zlib: turned off by PROVISIONER_ISAL$/m);
    expect((await run(['check', '--full'])).status).toBe(0);
  });

  it('tells that zstd is left to another decoder when libzstd is turned off', async () => {
    const { run } = await madeStore();
    const shown = await run(['info'], { env: { PROVISIONER_ZSTD: 'off' } });
    expect(shown.stdout).toMatch(/^zstd: +(JavaScript|Node's own): turned off by PROVISIONER_ZSTD$/m);
    expect((await run(['info'])).stdout).toMatch(/^zstd: +libzstd$/m);
  });

  it('shows the same with --json', async () => {
    const { json, root } = await pulledStore(APP_V1);
    expect(await json('info')).toEqual({
      root,
      format: { version: 2, whiteouts: 'trusted' },
      degraded: null,
      readOnly: null,
      versions: { provisioner: expect.stringMatching(/^\d+\.\d+\.\d+/), node: process.versions.node },
      syscalls: 'native',
      sqlite: 'better-sqlite3',
      gzip: 'isal',
      zstd: 'libzstd',
      workers: expect.any(Number),
      images: 1,
      layers: expect.any(Number),
      containers: 0,
      lock: { holders: [], writer: null },
      gc: { entries: 0, postponed: [] },
      backends: ['overlay', 'copy', 'bind'].map((name) => ({
        name,
        usable: true,
        chosen: name === 'overlay',
        reason: expect.any(String),
      })),
      runtimes: expect.any(Array),
    });
  });
});
