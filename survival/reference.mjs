// @ts-check
/* What the images are, as a clean pull has them: what every store is compared with. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Provisioner } from '#src/index.js';
import { agreement, readLayer, readTree, timeless } from './trees.mjs';

/**
 * @typedef {object} ReferenceImage
 * @property {string} id
 * @property {readonly string[]} stack layer ids, seams among them
 * @property {import('./trees.mjs').Tree} rootfs
 */

/**
 * @typedef {object} Reference
 * @property {Map<string, ReferenceImage>} images by name
 * @property {Map<string, import('./trees.mjs').Tree>} layers whole layer directories, by the digits of their ids
 */

/**
 * Pulls all images twice: what differs between two clean pulls is the time of some directory that no archive speaks of.
 * @param {string} directory for two stores, removed again
 * @param {Record<string, import('./images.mjs').TestImage>} images
 * @returns {Promise<Reference>}
 */
export async function makeReference(directory, images) {
  const [one, other] = [await cleanPull(directory, images, 'copy'), await cleanPull(directory, images, 'overlay')];
  /** @type {Reference} */
  const agreed = { images: new Map(), layers: new Map() };
  for (const [name, image] of one.images) {
    const rootfs = agreement(image.rootfs, other.images.get(name)?.rootfs ?? new Map());
    // A container that writes something of its own changes the time of its root.
    rootfs.set('.', timeless(rootfs.get('.') ?? ''));
    agreed.images.set(name, { ...image, rootfs });
  }
  for (const [id, layer] of one.layers) agreed.layers.set(id, agreement(layer, other.layers.get(id) ?? new Map()));
  return agreed;
}

/**
 * @param {string} directory @param {Record<string, import('./images.mjs').TestImage>} images
 * @param {'copy' | 'overlay'} backend @returns {Promise<Reference>}
 */
async function cleanPull(directory, images, backend) {
  const root = mkdtempSync(join(directory, 'reference-'));
  /** @type {Reference} */
  const reference = { images: new Map(), layers: new Map() };
  const provisioner = await Provisioner.open({ root });
  try {
    for (const { name, source } of Object.values(images)) {
      await provisioner.images.pull(source, { name });
      const { rootfs, image } = await provisioner.provision('reference', name, { backend });
      reference.images.set(name, { id: image.id, stack: image.layers, rootfs: readTree(rootfs) });
      await provisioner.destroy('reference');
    }
    for (const id of readdirSync(join(root, 'layers'))) reference.layers.set(id, readLayer(join(root, 'layers', id)));
    return reference;
  } finally {
    await provisioner.destroy('reference');
    await provisioner.close();
    rmSync(root, { recursive: true, force: true });
  }
}

/** For other processes. @param {Reference} reference @param {string} file */
export function writeReference({ images, layers }, file) {
  const text = {
    images: [...images].map(([name, image]) => [name, { ...image, rootfs: [...image.rootfs] }]),
    layers: [...layers].map(([id, tree]) => [id, [...tree]]),
  };
  writeFileSync(file, JSON.stringify(text));
}

/** @param {string} file @returns {Reference} */
export function readReference(file) {
  const { images, layers } = JSON.parse(readFileSync(file, 'utf8'));
  return {
    images: new Map(
      images.map((/** @type {any} */ [name, image]) => [name, { ...image, rootfs: new Map(image.rootfs) }]),
    ),
    layers: new Map(layers.map((/** @type {any} */ [id, tree]) => [id, new Map(tree)])),
  };
}
