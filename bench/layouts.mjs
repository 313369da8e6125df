// Made images, for benchmarks without a real one: sizes and shapes are chosen, content is pseudo-random and half compressible.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Header } from 'tar';

/** Layers of so many files of so many bytes each. */
const SHAPES = {
  'many-files': { layers: 4, files: 10_000, bytes: 8_192 },
  'one-large-file': { layers: 1, files: 1, bytes: 1_000_000_000 },
  'many-layers': { layers: 100, files: 100, bytes: 8_192 },
  'five-layers': { layers: 5, files: 600, bytes: 16_384 },
  'small-files': { layers: 1, files: 155_000, bytes: 400 },
  'one-large-layer': { layers: 1, files: 600, bytes: 1_000_000 },
};

/** @param {string} directory @param {string} shape one of `SHAPES` @returns {Promise<string>} the layout's path */
export async function makeLayout(directory, shape) {
  const { layers, files, bytes } = SHAPES[shape] ?? fail(`--shape is one of ${Object.keys(SHAPES).join(', ')}`);
  const layout = join(directory, shape);
  const blobs = join(layout, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const store = (content, mediaType) => {
    const digest = createHash('sha256').update(content).digest('hex');
    writeFileSync(join(blobs, digest), content);
    return { mediaType, digest: `sha256:${digest}`, size: content.length };
  };
  const made = Array.from({ length: layers }, (_, index) => {
    const tar = Buffer.concat([...entries(index, files, bytes), Buffer.alloc(1024)]);
    const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
    return { diffId, ...store(gzipSync(tar, { level: 1 }), 'application/vnd.oci.image.layer.v1.tar+gzip') };
  });
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: made.map(({ diffId }) => diffId) },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: store(Buffer.from(JSON.stringify(config)), 'application/vnd.oci.image.config.v1+json'),
    layers: made.map(({ diffId: _, ...descriptor }) => descriptor),
  };
  const descriptor = store(Buffer.from(JSON.stringify(manifest)), manifest.mediaType);
  const annotations = { 'org.opencontainers.image.ref.name': 'bench' };
  writeFileSync(
    join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...descriptor, annotations }] }),
  );
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return layout;
}

/** The layers of a layout's first image, bottom first: where their blobs lie. @param {string} layout */
export function layersOf(layout) {
  const blob = (digest) => join(layout, 'blobs', ...digest.split(':'));
  const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
  const [entry] = read(join(layout, 'index.json')).manifests;
  const { layers, config } = read(blob(entry.digest));
  const { diff_ids: diffIds } = read(blob(config.digest)).rootfs;
  return layers.map(({ digest, size }, index) => ({ path: blob(digest), size, diffId: diffIds[index] }));
}

function* entries(layer, files, bytes) {
  const body = Buffer.alloc(bytes);
  let seed = layer + 1;
  for (let file = 0; file < files; file++) {
    if (file % 100 === 0) yield header(`layer${layer}/dir${file / 100}/`, 0, 'Directory');
    for (let at = 0; at + 8 <= bytes; at += 8) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      // Half of it repeats, so it compresses as programs do.
      body.writeUInt32LE(seed, at);
    }
    yield header(`layer${layer}/dir${Math.floor(file / 100)}/file${file}`, bytes, 'File');
    yield Buffer.from(body);
    yield Buffer.alloc((512 - (bytes % 512)) % 512);
  }
}

function header(path, size, type) {
  const block = Buffer.alloc(512);
  new Header({
    path,
    size,
    type,
    mode: type === 'Directory' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    mtime: new Date(1e12),
  }).encode(block, 0);
  return block;
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
