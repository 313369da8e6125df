import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../fixtures/layer-builder.mjs';
import { inventedMembers } from './corpus.mjs';
import { compress, copyOf, mutateBytes, mutateMembers, writeMembers } from './mutations.mjs';
import { Random } from './random.mjs';
import { endOfArchive } from './raw-tar.mjs';

/**
 * One archive and how to unpack it. The same seed, index and corpus make the same case.
 * @typedef {object} Case
 * @property {number} seed
 * @property {number} index
 * @property {Buffer} blob
 * @property {string} diffId
 * @property {string | undefined} digest
 * @property {'trusted' | 'user' | 'plain'} format
 * @property {boolean} native
 * @property {boolean} damaged the stored bytes need not inflate to the archive
 */

/** Entries that one case takes from a real layer at most. */
const MEMBERS = 40;

/**
 * @param {readonly import('./corpus.mjs').Layer[]} corpus
 * @param {number} seed
 * @param {number} index
 * @param {import('./mutations.mjs').Surroundings} surroundings
 * @returns {Case}
 */
export function makeCase(corpus, seed, index, surroundings) {
  const random = new Random(seed, index);
  const members = chooseMembers(random, corpus, surroundings);
  mutateMembers(random, members, surroundings);
  const whole = Buffer.concat([writeMembers(members), random.chance(0.9) ? endOfArchive() : Buffer.alloc(0)]);
  const tar = mutateBytes(random, whole);
  const { blob, damaged } = compress(random, tar);
  const digest = random.pick([undefined, sha256(blob), damaged ? sha256(tar) : sha256(blob)]);
  const native = process.geteuid?.() === 0 && random.chance(0.9);
  const format = native ? random.pick(/** @type {const} */ (['trusted', 'trusted', 'trusted', 'user'])) : 'plain';
  return { seed, index, blob, diffId: sha256(tar), digest, format, native, damaged };
}

/**
 * @param {Random} random
 * @param {readonly import('./corpus.mjs').Layer[]} corpus
 * @param {import('./mutations.mjs').Surroundings} surroundings
 */
function chooseMembers(random, corpus, surroundings) {
  if (corpus.length === 0 || random.chance(0.5)) return inventedMembers(random, surroundings);
  const layer = random.pick(corpus);
  const start = random.below(layer.members.length);
  const members = layer.members.slice(start, start + random.between(1, MEMBERS)).map(copyOf);
  return random.chance(0.3) ? [...members, ...inventedMembers(random, surroundings)] : members;
}

/**
 * Keeps a case that broke something: the archive, and beside it how it was unpacked and what happened.
 * @param {string} directory @param {Case} found @param {string} outside @param {string} problem
 */
export function saveFinding(directory, found, outside, problem) {
  const { blob, ...rest } = found;
  const file = join(directory, `seed-${found.seed}-case-${found.index}.layer`);
  writeFileSync(file, blob);
  writeFileSync(`${file}.json`, `${JSON.stringify({ ...rest, outside, problem }, undefined, 2)}\n`);
  return file;
}

/** @param {string} file as `saveFinding` wrote it; a layer from elsewhere will do too @returns {Case & { outside?: string }} */
export function loadFinding(file) {
  const blob = readFileSync(file);
  const fallback = {
    seed: 0,
    index: 0,
    diffId: sha256(blob),
    digest: undefined,
    format: 'trusted',
    native: true,
    damaged: true,
  };
  try {
    return { ...fallback, ...JSON.parse(readFileSync(`${file}.json`, 'utf8')), blob };
  } catch {
    return { ...fallback, format: 'trusted', blob };
  }
}
