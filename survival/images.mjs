// @ts-check
/*
 * The images that the store is broken with: small, so that an operation takes milliseconds, with shared layers, whiteouts, one layer
 * alone, and one (a committed fixture) that needs seams. The contents are noise, so that a page which never reached the disk shows.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildImage, buildLayer, writeOciLayout } from '../fixtures/image-builder.mjs';
import { Random } from '../fuzz/random.mjs';

/**
 * @typedef {object} TestImage
 * @property {string} name what it is pulled as
 * @property {string} source
 */

/** What every prune here excludes; nothing may ever take an image of such a name once its pull was reported. */
export const EXCLUDED = 'kept/*';
export const KEPT = 'kept/image:1';
/** Pinned right after its pull; from then on it must stay. */
export const PINNED = 'pinned/image:1';
/** Prune takes these whenever no container stands on them. */
export const LOOSE = ['loose/stack:1', 'loose/single:1', 'loose/seams:1'];

/**
 * Writes the layouts.
 * @param {string} directory @param {number} [scale] how much larger than usual the files are
 * @returns {Promise<Record<string, TestImage>>} by name
 */
export async function makeImages(directory, scale = 1) {
  const base = buildLayer([
    { path: 'etc/' },
    { path: 'etc/name', content: 'survivor\n' },
    { path: 'tmp/', mode: 0o1777 },
    { path: 'usr/' },
    { path: 'usr/bin/' },
    { path: 'usr/bin/tool', mode: 0o4755, content: noise(1, 20_000 * scale) },
    { path: 'usr/bin/again', type: 'hardlink', target: 'usr/bin/tool' },
    { path: 'usr/bin/alias', type: 'symlink', target: 'tool', mode: 0o777 },
    ...files('usr/lib/', 2, 12, scale),
  ]);
  const middle = buildLayer([{ path: 'usr/' }, { path: 'usr/share/' }, ...files('usr/share/doc/', 3, 10, scale)]);
  const removing = buildLayer([
    { path: 'usr/' },
    { path: 'usr/lib/' },
    { path: 'usr/lib/.wh.f0' },
    { path: 'usr/share/' },
    { path: 'usr/share/doc/' },
    { path: 'usr/share/doc/.wh..wh..opq' },
    { path: 'usr/share/doc/only', content: noise(4, 3000) },
  ]);
  const top = (/** @type {number} */ seed) => buildLayer([{ path: 'app/' }, ...files('app/data/', seed, 6, scale)]);
  const stacks = {
    [KEPT]: [base, top(5)],
    [PINNED]: [base, middle, top(6)],
    'loose/stack:1': [base, middle, removing, top(7)],
    'loose/single:1': [top(8)],
  };
  /** @type {Record<string, TestImage>} */
  const images = {};
  for (const [name, layers] of Object.entries(stacks)) {
    const layout = join(directory, name.replace(/\W/g, '-'));
    await writeOciLayout(layout, [{ image: buildImage(layers), refName: 'it' }]);
    images[name] = { name, source: `oci:${layout}` };
  }
  const fixture = fileURLToPath(new URL('../fixtures/app-v1', import.meta.url));
  images['loose/seams:1'] = { name: 'loose/seams:1', source: `oci:${fixture}` };
  return images;
}

/** @param {string} directory @param {number} seed @param {number} count @param {number} scale */
function files(directory, seed, count, scale) {
  const random = new Random(seed);
  const entries = Array.from({ length: count }, (_, index) => ({
    path: `${directory}f${index}`,
    content: random.bytes(random.between(10, 12_000 * scale)),
  }));
  return [{ path: directory }, ...entries];
}

/** @param {number} seed @param {number} length */
function noise(seed, length) {
  return new Random(seed).bytes(length);
}
