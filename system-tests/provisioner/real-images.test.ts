import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { type RealImages, realImages } from '../helpers/real-images.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

const run = promisify(execFile);
const TAG = 'latest';
let images: RealImages;

async function unpackWithUmoci(layout: string): Promise<string> {
  const bundle = join(temporaryDirectory(), 'bundle');
  await run('umoci', ['unpack', '--image', `${layout}:${TAG}`, bundle]);
  return join(bundle, 'rootfs');
}

describeWith(['root', 'overlay', 'umoci', 'skopeo', 'chroot'], 'real images', () => {
  beforeAll(async () => {
    images = await realImages();
  });

  // The layer of `debian` is the lowest of both versions of the application, which differ in one file.
  test.each([...(WHOLE_RANGE ? (['debian'] as const) : []), 'appV2', 'mixed'] as const)(
    'the tree of %s by overlay, by copy and by umoci is the same, entry by entry, with xattrs and nanoseconds',
    async (name) => {
      const p = await openStore();
      await p.images.pull(`oci:${images[name]}`, { name: 'real' });
      const overlay = await p.provision('overlay', 'real', { backend: 'overlay' });
      const copy = await p.provision('copy', 'real', { backend: 'copy' });
      const tree = snapshotTree(overlay.rootfs);
      expect(tree.length).toBeGreaterThan(10);
      expect(treeDifferences(tree, snapshotTree(copy.rootfs))).toEqual([]);
      const umoci = snapshotTree(await unpackWithUmoci(images[name]));
      expect(treeDifferences(umoci, tree)).toEqual([]);
    },
  );

  test('the program of the image runs in its rootfs', async () => {
    const p = await openStore();
    await p.images.pull(`oci:${images.appV2}`, { name: 'app:v2' });
    for (const backend of ['overlay', 'copy'] as const) {
      const { rootfs, runtime } = await p.provision(backend, 'app:v2', { backend });
      const { stdout } = await run('chroot', [rootfs, ...runtime.entrypoint, ...runtime.cmd]);
      expect(stdout).toBe('hello v2\n');
    }
  });

  test('an image compressed with zstd is the same as with gzip', async () => {
    const p = await openStore();
    const gzip = await p.images.pull(`oci:${images.mixed}`, { name: 'gzip' });
    const zstd = await p.images.pull(`oci:${images.mixedZstd}`, { name: 'zstd' });
    expect(zstd.id).not.toBe(gzip.id);
    expect(zstd.layers).toEqual(gzip.layers);
  });

  test('a layer unpacked from zstd has the same tree as from gzip', async () => {
    const [one, other] = [await openStore(), await openStore()];
    await one.images.pull(`oci:${images.mixed}`, { name: 'it' });
    await other.images.pull(`oci:${images.mixedZstd}`, { name: 'it' });
    const [gzip, zstd] = [await one.provision('a', 'it'), await other.provision('b', 'it')];
    expect(treeDifferences(snapshotTree(gzip.rootfs), snapshotTree(zstd.rootfs))).toEqual([]);
  });

  test('skopeo copies of an image into both kinds of archive have its layers, from a file and from a stream, and nothing is unpacked twice', async () => {
    const p = await openStore();
    const original = await p.images.pull(`oci:${images.appV2}`, { name: 'app:v2' });
    const directory = temporaryDirectory();
    const [docker, oci] = [join(directory, 'docker.tar'), join(directory, 'oci.tar')];
    const copy = (target: string) => run('skopeo', ['copy', '--insecure-policy', `oci:${images.appV2}:${TAG}`, target]);
    await copy(`docker-archive:${docker}:app:v2`);
    await copy(`oci-archive:${oci}:app:v2`);
    let unpacked = 0;
    p.events.on('layerProgress', ({ phase }) => void (phase === 'unpacking' && unpacked++));
    expect((await p.images.pull(`oci-archive:${oci}`)).id).toBe(original.id);
    expect((await p.images.pull(`docker-archive:${docker}`)).layers).toEqual(original.layers);
    expect((await p.images.load(oci))[0]).toMatchObject({ id: original.id });
    expect((await p.images.load(createReadStream(docker)))[0]).toMatchObject({
      layers: original.layers,
      names: ['docker.io/library/app:v2'],
    });
    expect(unpacked).toBe(0);
  });

  test('the second version of an image unpacks only its top layer', async () => {
    const p = await openStore();
    await p.images.pull(`oci:${images.appV1}`, { name: 'app:v1' });
    const unpacked = new Set<string>();
    p.events.on('layerProgress', ({ phase, layer }) => void (phase === 'unpacking' && unpacked.add(layer)));
    const v2 = await p.images.pull(`oci:${images.appV2}`, { name: 'app:v2' });
    expect([...unpacked]).toEqual(v2.layers.slice(-1));
  });

  test('what the store says of a layer is what du counts', async () => {
    const p = await openStore();
    const { bytes, layers } = await p.images.pull(`oci:${images.appV2}`, { name: 'app:v2' });
    const directories = [...new Set(layers)].map((id) => join(p.root, 'layers', id.slice('sha256:'.length)));
    const sizes = await Promise.all(directories.map((path) => run('du', ['-s', '--block-size=1', path])));
    expect(bytes).toBe(sizes.reduce((sum, { stdout }) => sum + Number(stdout.split('\t')[0]), 0));
  });
});
