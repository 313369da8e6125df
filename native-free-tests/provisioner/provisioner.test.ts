import { createReadStream, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Provisioner } from '#src/index.js';
import {
  buildImage,
  buildLayer,
  writeDockerArchive,
  writeOciArchive,
  writeOciLayout,
} from '../helpers/image-builder.js';
import { layoutOf, namesIn, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }, { path: 'etc/old' }]);
const second = buildLayer([{ path: 'etc/.wh.old' }, { path: 'bin/tool', content: 'tool', mode: 0o755 }], {
  compression: 'zstd',
});
const v1 = buildImage([base, second, buildLayer([{ path: 'app', content: 'v1' }])], {
  config: { Env: ['A=1'], Cmd: ['/app'] },
});
const v2 = buildImage([base, second, buildLayer([{ path: 'app', content: 'v2' }], { compression: 'none' })]);

test('an image is pulled, provisioned, changed apart from its sibling, and destroyed', async () => {
  const p = await openMemoryStore();
  const image = await p.images.pull(await layoutOf(v1), { name: 'app:v1' });
  expect(image.names).toEqual(['docker.io/library/app:v1']);
  const [one, two] = [await p.provision('one', 'app:v1'), await p.provision('two', 'app:v1')];
  expect(one.runtime).toMatchObject({ env: ['A=1'], cmd: ['/app'], workingDir: '/' });
  expect(readdirSync(join(one.rootfs, 'etc'))).toEqual(['name']);
  writeFileSync(join(one.rootfs, 'app'), 'changed');
  expect(readFileSync(join(two.rootfs, 'app'), 'utf8')).toBe('v1');
  expect((await p.containers.list()).map(({ id }) => id)).toEqual(['one', 'two']);
  expect(await p.destroy('one')).toBe(true);
  expect(await p.destroy('two')).toBe(true);
  expect(namesIn(p, 'containers')).toEqual([]);
});

test('images that share layers store each once and unpack each once, also when pulled at the same time', async () => {
  const p = await openMemoryStore();
  // By whom, because progress is told again every second.
  const unpackings = new Map<string, string>();
  p.events.on('layerProgress', ({ phase, layer, pullId }) => {
    if (phase === 'unpacking') unpackings.set(`${layer} by ${pullId}`, layer);
  });
  await Promise.all([
    p.images.pull(await layoutOf(v1), { name: 'v1' }),
    p.images.pull(await layoutOf(v2), { name: 'v2' }),
    p.images.pull(await layoutOf(v2), { name: 'again' }),
  ]);
  expect(unpackings.size).toBe(4);
  expect(new Set(unpackings.values()).size).toBe(4);
  expect(namesIn(p, 'staging')).toEqual([]);
  expect((await p.images.get('again')).id).toBe((await p.images.get('v2')).id);
});

test.each([
  ['a docker archive', writeDockerArchive, { tags: ['app:v1'] }],
  ['an OCI archive', writeOciArchive, { refName: 'v1' }],
] as const)(
  '%s with an image that is larger than allowed is not loaded, and nothing of it stays',
  async (_, write, named) => {
    const p = await openMemoryStore();
    const archive = join(temporaryDirectory(), 'archive.tar');
    await write(archive, [{ image: v1, ...named } as never]);
    for (const input of [archive, createReadStream(archive)]) {
      await expect(p.images.load(input, { maxImageBytes: 100 })).rejects.toMatchObject({
        code: 'ERR_LIMIT_EXCEEDED',
        details: { limit: 100, option: 'maxImageBytes' },
      });
    }
    expect({ images: await p.images.list(), layers: namesIn(p, 'layers'), staging: namesIn(p, 'staging') }).toEqual({
      images: [],
      layers: [],
      staging: [],
    });
    expect(await p.images.load(archive, { maxImageBytes: 100_000 })).toHaveLength(1);
  },
);

test('one image as layout, OCI archive and docker archive unpacks its layers once', async () => {
  const p = await openMemoryStore();
  const directory = temporaryDirectory();
  const [oci, docker] = [join(directory, 'oci.tar'), join(directory, 'docker.tar')];
  await writeOciArchive(oci, [{ image: v1, refName: 'v1' }]);
  await writeDockerArchive(docker, [{ image: v1, tags: ['app:v1'] }]);
  const first = await p.images.pull(await layoutOf(v1));
  let unpacked = 0;
  p.events.on('layerProgress', ({ phase }) => void (phase === 'unpacking' && unpacked++));
  expect((await p.images.pull(`oci-archive:${oci}`)).id).toBe(first.id);
  expect((await p.images.pull(`docker-archive:${docker}`)).layers).toEqual(first.layers);
  const [loaded] = await p.images.load(createReadStream(docker));
  expect(loaded?.names).toEqual(['docker.io/library/app:v1']);
  expect((await p.images.load(oci))[0]?.id).toBe(first.id);
  expect(unpacked).toBe(0);
});

test('an image is found by name, by digest, by its first digits, and by name with digest', async () => {
  const p = await openMemoryStore();
  const { id } = await p.images.pull(await layoutOf(v1), { name: 'app' });
  const hex = id.slice('sha256:'.length);
  for (const text of [
    'app',
    'app:latest',
    'docker.io/library/app',
    id,
    hex,
    hex.slice(0, 12),
    `sha256:${hex.slice(0, 5)}`,
    `app@${id}`,
  ]) {
    expect((await p.images.get(text)).id, text).toBe(id);
  }
});

test.each(['nothing', 'app:other', 'abcdef', `sha256:${'0'.repeat(64)}`])(
  'the unknown image %j is not found, with a hint',
  async (text) => {
    const p = await openMemoryStore();
    await p.images.pull(await layoutOf(v1), { name: 'app' });
    await expect(p.provision('job', text, { pullPolicy: 'never' })).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
      hint: expect.stringContaining('pull'),
    });
    expect(await p.containers.list()).toEqual([]);
  },
);

test('a name that is not stored is looked for in its registry, but digits of a digest are not', async () => {
  const p = await openMemoryStore({ registry: { retries: 0 } });
  await expect(p.provision('job', 'localhost:1/app')).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE' });
  await expect(p.provision('job', `sha256:${'0'.repeat(64)}`)).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
  expect(await p.containers.list()).toEqual([]);
});

test('names move, are added and are taken away, and the image stays', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(v1), { name: 'app:stable' });
  const { id } = await p.images.pull(await layoutOf(v2), { name: 'app:next' });
  expect(await p.images.tag('app:next', 'app:stable')).toBe('docker.io/library/app:stable');
  expect((await p.images.get('app:stable')).id).toBe(id);
  expect(await p.images.remove('app:next')).toEqual(['docker.io/library/app:next']);
  expect((await p.images.get(id)).names).toEqual(['docker.io/library/app:stable']);
  expect(await p.images.remove(id)).toEqual(['docker.io/library/app:stable']);
  expect((await p.images.list()).map(({ names }) => names)).toEqual([[], []]);
});

test('a container holds several rootfses and destroy removes them all', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(v1), { name: 'v1' });
  await p.images.pull(await layoutOf(v2), { name: 'v2' });
  const made = [await p.provision('job', 'v1'), await p.provision('job', 'v2')];
  expect(made.map(({ rootfs }) => readFileSync(join(rootfs, 'app'), 'utf8'))).toEqual(['v1', 'v2']);
  expect((await p.containers.list())[0]?.rootfses).toHaveLength(2);
  expect(await p.destroy('job')).toBe(true);
  expect(made.some(({ rootfs }) => existsSync(rootfs))).toBe(false);
});

test('destroying a container destroys what is nested in it, and leaves its siblings', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(v1), { name: 'v1' });
  for (const id of ['pod', 'pod/a', 'pod/a/b', 'pod/c', 'pod2', 'pod.x']) await p.provision(id, 'v1');
  expect(await p.destroy('pod/a')).toBe(true);
  expect((await p.containers.list()).map(({ id }) => id)).toEqual(['pod', 'pod.x', 'pod/c', 'pod2']);
  expect(await p.destroy('pod')).toBe(true);
  expect((await p.containers.list()).map(({ id }) => id)).toEqual(['pod.x', 'pod2']);
});

test('destroy answers false for a container that is unknown, or gone already', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(v1), { name: 'v1' });
  await p.provision('job', 'v1');
  expect(await p.destroy('other')).toBe(false);
  expect(await p.destroy('job')).toBe(true);
  expect(await p.destroy('job')).toBe(false);
});

test('destroy waits for a provision of the same container under way, and leaves nothing of it', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(v1), { name: 'v1' });
  const provisioning = p.provision('job', 'v1');
  const nested = p.provision('job/nested', 'v1');
  expect(await p.destroy('job')).toBe(true);
  await Promise.all([provisioning, nested]);
  await p.destroy('job');
  expect(namesIn(p, 'containers')).toEqual([]);
});

test('a provision that is cancelled leaves nothing', async () => {
  const p = await openMemoryStore();
  const big = Array.from({ length: 2000 }, (_, index) => ({ path: `f${index}`, content: 'x' }));
  await p.images.pull(await layoutOf(buildImage([buildLayer(big)])), { name: 'big' });
  const abort = new AbortController();
  const provisioning = p.provision('job', 'big', { signal: abort.signal });
  setTimeout(() => abort.abort(), 30);
  await expect(provisioning).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(await p.containers.list()).toEqual([]);
  expect(namesIn(p, 'containers')).toEqual([]);
});

test('a pull that is cancelled frees its caller at once, leaves nothing, and can be repeated', async () => {
  const p = await openMemoryStore();
  const source = await layoutOf(
    buildImage([buildLayer(Array.from({ length: 3000 }, (_, index) => ({ path: `f${index}` })))]),
  );
  const abort = new AbortController();
  p.events.on('layerProgress', ({ phase }) => void (phase === 'unpacking' && abort.abort()));
  await expect(p.images.pull(source, { name: 'big', signal: abort.signal })).rejects.toMatchObject({
    code: 'ERR_ABORTED',
  });
  p.events.removeAllListeners('layerProgress');
  await p.images.pull(source, { name: 'big' });
  await expect.poll(() => [...namesIn(p, 'staging'), ...namesIn(p, 'gc')], { timeout: 10_000 }).toEqual([]);
});

test('two callers share one pull, and one that gives up does not take it from the other', async () => {
  const p = await openMemoryStore();
  const source = await layoutOf(
    buildImage([buildLayer(Array.from({ length: 3000 }, (_, index) => ({ path: `f${index}` })))]),
  );
  const abort = new AbortController();
  p.events.once('layerProgress', () => setTimeout(() => abort.abort(), 5));
  const [impatient, patient] = [
    p.images.pull(source, { signal: abort.signal }),
    p.images.pull(source, { name: 'kept' }),
  ];
  await expect(impatient).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect((await patient).names).toEqual(['docker.io/library/kept:latest']);
});

test.each([
  ['blob', 'ERR_DIGEST_MISMATCH', (bytes: Buffer) => Buffer.from(bytes).fill(7, bytes.length - 9, bytes.length - 8)],
  ['truncated blob', 'ERR_SIZE_MISMATCH', (bytes: Buffer) => bytes.subarray(0, -5)],
])('a damaged %s fails the pull with a clear error and leaves nothing', async (_, code, damage) => {
  const p = await openMemoryStore();
  const layout = join(temporaryDirectory(), 'layout');
  await writeOciLayout(layout, [{ image: v1 }], (files: Map<string, Buffer | string>) => {
    const name = `blobs/${base.digest.replace(':', '/')}`;
    files.set(name, damage(files.get(name) as Buffer));
  });
  await expect(p.images.pull(`oci:${layout}`)).rejects.toMatchObject({ code });
  expect(await p.images.list()).toEqual([]);
  await expect.poll(() => [...namesIn(p, 'staging'), ...namesIn(p, 'gc')], { timeout: 10_000 }).toEqual([]);
});

test('a layer that is not what the config says fails with both diff IDs, and the other layers are kept for the next try', async () => {
  const p = await openMemoryStore();
  const wrong = { ...base, diffId: `sha256:${'1'.repeat(64)}` };
  await expect(p.images.pull(await layoutOf(buildImage([wrong, second])))).rejects.toMatchObject({
    code: 'ERR_DIFF_ID_MISMATCH',
    details: { expected: wrong.diffId, found: base.diffId },
  });
  expect(await p.images.list()).toEqual([]);
});

test('a closed provisioner says so', async () => {
  const p = await openMemoryStore();
  await p.close();
  await p.close();
  await expect(p.images.list()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  await expect(p.destroy('x')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
});

test('a store of a newer format is refused with both versions, and nothing in it is touched', async () => {
  const root = temporaryDirectory();
  writeFileSync(join(root, 'format'), '{"version":99,"whiteouts":"quantum"}');
  await expect(Provisioner.open({ root, records: 'memory', allowDegraded: true })).rejects.toMatchObject({
    code: 'ERR_STORE_FORMAT',
    details: { found: 99, expected: 2 },
  });
  expect(readdirSync(root)).toEqual(['format']);
});

test.each(['', 'not json', '{}', '[]', 'null'])('a format file with %j is called damaged', async (text) => {
  const root = temporaryDirectory();
  writeFileSync(join(root, 'format'), text);
  await expect(Provisioner.open({ root, records: 'memory', allowDegraded: true })).rejects.toMatchObject({
    code: 'ERR_STORE_DAMAGED',
  });
});

test.each([{ workers: 0 }, { workers: 1.5 }, { owner: '' }])('the options %j are refused', async (options) => {
  await expect(openMemoryStore(options)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
});

test.skipIf(process.platform !== 'linux')(
  'a root in a directory that takes no entries is refused, not waited for',
  async () => {
    await expect(
      Provisioner.open({ root: '/proc/provisioner/store', records: 'memory', allowDegraded: true }),
    ).rejects.toMatchObject({
      code: 'ERR_IO',
      details: { path: '/proc/provisioner/store', errno: 'ENOENT' },
    });
  },
);

test('a root below a file is refused', async () => {
  const file = join(temporaryDirectory(), 'file');
  writeFileSync(file, '');
  await expect(
    Provisioner.open({ root: join(file, 'store'), records: 'memory', allowDegraded: true }),
  ).rejects.toMatchObject({
    code: 'ERR_IO',
    details: { errno: 'ENOTDIR' },
  });
});

test('loading says which names it gave, not those of before', async () => {
  const p = await openMemoryStore();
  const docker = join(temporaryDirectory(), 'docker.tar');
  await writeDockerArchive(docker, [{ image: v1, tags: ['app:one'] }]);
  await p.images.load(docker);
  await writeDockerArchive(docker, [{ image: v1, tags: ['app:two'] }]);
  const [loaded] = await p.images.load(docker);
  expect(loaded?.namesGiven).toEqual(['docker.io/library/app:two']);
  expect(loaded?.names).toEqual(['docker.io/library/app:one', 'docker.io/library/app:two']);
});

test('two provisioners in one process share nothing but what is on disk', async () => {
  const [a, b] = [await openMemoryStore(), await openMemoryStore()];
  await a.images.pull(await layoutOf(v1), { name: 'v1' });
  expect(await b.images.list()).toEqual([]);
  await a.close();
  await b.images.pull(await layoutOf(v1), { name: 'v1' });
  expect(await b.images.list()).toHaveLength(1);
});
