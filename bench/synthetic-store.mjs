// Stores with many records and small layers, made without pulling: for figures that depend on how much is stored.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeContents } from '../build/files/contents/write-contents.js';
import { SqliteMetadataManager } from '../build/metadata/sqlite/sqlite-metadata-manager.js';
import { StorePaths } from '../build/paths.js';
import { loadSyscalls } from '../build/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../build/system/syscalls/load-tree-calls.js';
import { Provisioner } from '../dist/index.js';

const digest = (text) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/**
 * Makes a store of images named `image-N`, each with layers of its own on top of some that all share.
 * @param {string} root
 * @param {{ images: number, ownLayers: number, sharedLayers?: number, files?: number }} shape `files` per layer
 */
export async function makeStore(root, { images, ownLayers, sharedLayers = 0, files = 0 }) {
  await (await Provisioner.open({ root })).close();
  const paths = new StorePaths(root);
  const metadata = await SqliteMetadataManager.open(paths.metadata, { durable: false });
  const calls = loadTreeCalls(loadSyscalls());
  const makeLayer = (name) => {
    const id = digest(name);
    mkdirSync(paths.layerRootfs(id), { recursive: true });
    for (let file = 0; file < files; file++) writeFileSync(join(paths.layerRootfs(id), `file${file}`), name);
    const bytes = writeContents(paths.layer(id), calls);
    const seen = { opaqueRoot: false, whiteouts: false, describesRoot: false, tar: 'off', tarBytes: 0 };
    return { id, bytes, entries: files + 1, ...seen };
  };
  const makeLayers = async (count, name) => {
    const layers = Array.from({ length: count }, (_, layer) => makeLayer(`${name} ${layer}`));
    // All at once: a transaction for each of very many takes longer than all the rest.
    await metadata.putLayers(layers);
    return layers.map(({ id }) => id);
  };
  const shared = await makeLayers(sharedLayers, 'shared');
  for (let image = 0; image < images; image++) {
    const layers = [...shared, ...(await makeLayers(ownLayers, `image ${image} layer`))];
    const text = `image ${image}`;
    await metadata.putImage(
      {
        id: digest(`manifest ${text}`),
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        manifest: JSON.stringify({ text, padding: 'x'.repeat(2000) }),
        configDigest: digest(`config ${text}`),
        config: JSON.stringify({ text, padding: 'x'.repeat(3000) }),
        platform: 'linux/amd64',
        layers,
        source: 'bench:',
      },
      [`docker.io/library/image-${image}:latest`],
    );
  }
  await metadata.close();
}

/** Containers as the copy backend leaves them, of images that are there. */
export async function makeContainers(root, count, images) {
  const paths = new StorePaths(root);
  const metadata = await SqliteMetadataManager.open(paths.metadata, { durable: false });
  for (let n = 0; n < count; n++) {
    const rootfs = { containerId: `job-${n}`, id: `rootfs-${n}`, backend: 'copy', owner: 'default' };
    mkdirSync(paths.rootfs(rootfs.containerId, 'copy', rootfs.id), { recursive: true });
    mkdirSync(paths.scratch(rootfs.containerId, 'copy', rootfs.id), { recursive: true });
    await metadata.putRootfs({ ...rootfs, image: digest(`manifest image ${n % images}`) });
  }
  await metadata.close();
}
