// @ts-check
/*
 * What must hold of a store that nobody uses, after a recovery and a finished sweep: the promises of the design, looked at from outside. The
 * records are read with SQLite itself, the disk with plain system calls; nothing here asks the library.
 */
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { memoryPlace, parkedParts, StorePaths } from '#src/paths.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { differences, readLayer, readTree } from './trees.mjs';

/** @typedef {typeof import('better-sqlite3')} Driver */
const Driver = /** @type {Driver} */ (createRequire(import.meta.url)('better-sqlite3'));

/**
 * What somebody was told, and what therefore must be true.
 * @typedef {object} Told
 * @property {ReadonlyMap<string, ToldContainer>} containers all that there may be
 * @property {ReadonlyMap<string, string>} names of images: the name, and the image's name in the reference
 * @property {readonly string[]} absentNames
 */

/**
 * @typedef {object} ToldContainer
 * @property {string} image its name in the reference
 * @property {string} owner
 * @property {ReadonlyMap<string, string | undefined>} files what was written in it: path below its root, contents; undefined when it may be anything
 */

/** @typedef {{ id: string, layers: string[] }} ImageRow */
/** @typedef {{ container: string, id: string, owner: string, image: string, backend: string, state: string, maker: string | null }} RootfsRow */
/** @typedef {{ id: string, bytes: number }} LayerRow */

/**
 * @typedef {object} Records
 * @property {string[]} faults
 * @property {LayerRow[]} layers
 * @property {ImageRow[]} images
 * @property {Map<string, string>} names with the image's id
 * @property {RootfsRow[]} rootfses
 * @property {string[]} left leases and claims
 */

/**
 * @param {string} root the store's directory; no process has it open
 * @param {import('./reference.mjs').Reference} reference
 * @param {Told} [told] default: nobody was told anything, and whatever is recorded is right
 * @param {{ busy?: boolean }} [options] busy: processes have the store open, though nothing is under way
 * @returns {string[]} what does not hold
 */
export function brokenPromises(root, reference, told, { busy = false } = {}) {
  const paths = new StorePaths(root);
  const records = readRecords(paths.metadata);
  return [
    ...records.faults,
    ...records.left,
    ...strangers(paths, busy),
    ...parkedFaults(paths, records),
    ...layerFaults(paths, records, reference),
    ...imageFaults(records, reference, told),
    ...containerFaults(paths, records, reference, told),
  ];
}

/** @param {string} path @returns {Records} */
export function readRecords(path) {
  const db = new Driver(path, { readonly: true });
  try {
    const rows = (/** @type {string} */ sql) => /** @type {any[]} */ (db.prepare(sql).all());
    const checks = /** @type {{ integrity_check: string }[]} */ (db.pragma('integrity_check'));
    const dangling = /** @type {unknown[]} */ (db.pragma('foreign_key_check'));
    const images =
      rows(`SELECT image.id, json_group_array(layer.id ORDER BY position) AS layers, count(*) - max(position) - 1 AS gaps
      FROM image JOIN stack_layer ON stack_layer.stack = image.stack JOIN layer ON layer.key = stack_layer.layer GROUP BY image.key`);
    const bare =
      rows(`SELECT id FROM image WHERE NOT EXISTS (SELECT 1 FROM stack_layer WHERE stack_layer.stack = image.stack)
      OR NOT EXISTS (SELECT 1 FROM image_document WHERE image_document.image = image.key)`);
    return {
      faults: [
        ...checks.filter((row) => row.integrity_check !== 'ok').map((row) => `records: ${row.integrity_check}`),
        ...dangling.map((row) => `records: dangling ${JSON.stringify(row)}`),
        ...images.filter((row) => row.gaps !== 0).map((row) => `records: the stack of image ${row.id} has gaps`),
        ...bare.map((row) => `records: image ${row.id} has no stack or no documents`),
        ...rows('SELECT records_lost FROM state WHERE records_lost <> 0').map(() => 'records: marked as lost'),
      ],
      left: [
        ...rows('SELECT pull, process FROM lease').map((row) => `a lease was left: ${row.pull} of ${row.process}`),
        ...rows('SELECT layer, process FROM layer_claim').map(
          (row) => `a claim was left: ${row.layer} of ${row.process}`,
        ),
      ],
      layers: rows('SELECT id, bytes FROM layer'),
      images: images.map((row) => ({ id: row.id, layers: JSON.parse(row.layers) })),
      names: new Map(
        rows('SELECT name, image.id FROM image_name JOIN image ON image.key = image').map((row) => [row.name, row.id]),
      ),
      rootfses: rows('SELECT container, id, owner, image, backend, state, maker FROM rootfs ORDER BY container, id'),
    };
  } finally {
    db.close();
  }
}

const OWN =
  /^(?:format|generation|owners|metadata\.sqlite(?:-wal|-shm)?|lock|alive|reserve|staging|layers|gc|parked|launches|containers)$/;

/** What is in the store that nothing accounts for. @param {StorePaths} paths @param {boolean} busy @returns {string[]} */
function strangers(paths, busy) {
  const found = readdirSync(paths.root).filter((name) => !OWN.test(name));
  for (const name of readdirSync(paths.staging)) found.push(`staging/${name}`);
  for (const name of readdirSync(paths.gc)) found.push(`gc/${name}`);
  // Nobody's life is there any more where no process has the store open.
  for (const name of busy ? [] : namesIn(paths.alive)) found.push(`alive/${name}`);
  const wal = lstatSync(`${paths.metadata}-wal`, { throwIfNoEntry: false });
  if (!busy && (wal?.size ?? 0) > 0) found.push('metadata.sqlite-wal, though nobody has the records open');
  return found.map((name) => `left in the store: ${name}`);
}

/** A layer is parked only while a root filesystem that shows it is there. @param {StorePaths} paths @param {Records} records @returns {string[]} */
function parkedFaults({ parked }, { rootfses }) {
  if (lstatSync(parked, { throwIfNoEntry: false }) === undefined) return [];
  const recorded = new Set(rootfses.map(({ id }) => id));
  return readdirSync(parked).flatMap((name) => {
    const place = parkedParts(join(parked, name));
    const users = JSON.parse(readFileOr(place.users) ?? '{}').rootfses ?? [];
    const fault = (/** @type {string} */ what) => `left in the store: parked/${name}, ${what}`;
    if (!users.some((/** @type {string} */ id) => recorded.has(id))) return [fault('which nothing shows')];
    return lstatSync(place.layer, { throwIfNoEntry: false }) === undefined ? [fault('in which no layer is')] : [];
  });
}

/** @param {StorePaths} paths @param {Records} records @param {import('./reference.mjs').Reference} reference @returns {string[]} */
function layerFaults(paths, { layers }, reference) {
  const found = [];
  const recorded = new Map(layers.map((layer) => [layer.id.slice('sha256:'.length), layer]));
  const present = new Set(readdirSync(paths.layers));
  for (const hex of present) if (!recorded.has(hex)) found.push(`layer ${hex}: on disk without a record`);
  let accounted = 0;
  for (const [hex, { bytes }] of recorded) {
    if (!present.has(hex)) {
      found.push(`layer ${hex}: recorded without a directory`);
      continue;
    }
    const expected = reference.layers.get(hex);
    const path = join(paths.layers, hex);
    if (expected === undefined) found.push(`layer ${hex}: no image has it`);
    else found.push(...differences(expected, readLayer(path)).map((difference) => `layer ${hex}: ${difference}`));
    const used = diskUse(path);
    accounted += used;
    if (used !== bytes) found.push(`layer ${hex}: takes ${used} bytes, ${bytes} are recorded`);
  }
  const all = diskUse(paths.layers) - lstatSync(paths.layers).blocks * 512;
  if (found.length === 0 && all !== accounted) found.push(`layers/ takes ${all} bytes, ${accounted} are accounted for`);
  return found;
}

/** As `du` counts: blocks, of a file with several names once. @param {string} root */
export function diskUse(root) {
  const seen = new Set();
  let bytes = 0;
  const pending = [root];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const status = lstatSync(path);
    if (seen.has(status.ino)) continue;
    if (status.nlink > 1 && !status.isDirectory()) seen.add(status.ino);
    bytes += status.blocks * 512;
    if (status.isDirectory()) for (const name of readdirSync(path)) pending.push(join(path, name));
  }
  return bytes;
}

/** @param {Records} records @param {import('./reference.mjs').Reference} reference @param {Told | undefined} told @returns {string[]} */
function imageFaults({ images, names }, reference, told) {
  const found = [];
  const known = new Map([...reference.images.values()].map((image) => [image.id, image]));
  for (const { id, layers } of images) {
    const expected = known.get(id)?.stack;
    if (expected === undefined) found.push(`image ${id}: nobody pulled it`);
    else if (expected.join() !== layers.join())
      found.push(`image ${id}: has the layers ${layers}, should have ${expected}`);
  }
  for (const [name, image] of told?.names ?? []) {
    const full = `docker.io/${name}`;
    if (names.get(full) !== reference.images.get(image)?.id)
      found.push(`name ${name}: is ${names.get(full)}, should be ${image}`);
  }
  for (const name of told?.absentNames ?? [])
    if (names.has(`docker.io/${name}`)) found.push(`name ${name}: was removed`);
  return found;
}

/**
 * @param {StorePaths} paths @param {Records} records @param {import('./reference.mjs').Reference} reference @param {Told | undefined} told
 * @returns {string[]}
 */
function containerFaults(paths, { rootfses }, reference, told) {
  const found = [];
  const byId = new Map([...reference.images.values()].map((image) => [image.id, image]));
  const mounts = mountsBelow(paths.root);
  const expected = new Set();
  const expectedMounts = [];
  for (const { container, id, owner, image, backend, state, maker } of rootfses) {
    const rootfs = paths.rootfs(container, backend, id);
    expected.add(rootfs).add(paths.scratch(container, backend, id));
    if (backend !== 'copy') expectedMounts.push(rootfs);
    // What was written to it is there: without the mount it would be an empty directory.
    const memory = memoryPlace(paths.scratch(container, backend, id));
    if (existsSync(memory)) expectedMounts.push(memory);
    if (state !== 'ready' || maker !== null) found.push(`container ${container}: is ${state}, made by ${maker}`);
    const promise = told?.containers.get(container);
    if (told !== undefined && promise === undefined) found.push(`container ${container}: nobody knows it`);
    if (promise !== undefined && promise.owner !== owner) found.push(`container ${container}: belongs to ${owner}`);
    const tree = (promise === undefined ? byId.get(image) : reference.images.get(promise.image))?.rootfs;
    if (tree === undefined) found.push(`container ${container}: is of an image that nobody pulled`);
    else found.push(...rootfsFaults(rootfs, tree, promise?.files).map((fault) => `container ${container}: ${fault}`));
  }
  const recorded = new Set(rootfses.map((rootfs) => rootfs.container));
  for (const id of told?.containers.keys() ?? []) if (!recorded.has(id)) found.push(`container ${id}: is gone`);
  if (mounts.toSorted().join('\n') !== expectedMounts.sort().join('\n')) {
    found.push(`mounted are ${mounts.toSorted().join(', ')}, should be ${expectedMounts.join(', ')}`);
  }
  return [...found, ...containerDirectoryFaults(paths, expected)];
}

/**
 * @param {string} rootfs @param {import('./trees.mjs').Tree} image @param {ReadonlyMap<string, string | undefined> | undefined} files undefined: unknown
 * @returns {string[]}
 */
export function rootfsFaults(rootfs, image, files) {
  try {
    const tree = readTree(rootfs);
    const own = [...(files ?? [])].map(([path]) => `./${path}`);
    return [
      ...differences(image, tree, (path) => (files === undefined ? path.startsWith('./own') : own.includes(path))),
      ...[...(files ?? [])].flatMap(([path, text]) => (text === undefined ? [] : fileFault(rootfs, path, text))),
    ];
  } catch (error) {
    return [String(error)];
  }
}

/** @param {string} rootfs @param {string} path @param {string} text @returns {string[]} */
function fileFault(rootfs, path, text) {
  const is = readFileOr(join(rootfs, path));
  return is === text ? [] : [`${path} holds ${JSON.stringify(is)}, should hold ${JSON.stringify(text)}`];
}

/** @param {StorePaths} paths @param {ReadonlySet<string>} expected directories of rootfses and of their scratch @returns {string[]} */
function containerDirectoryFaults(paths, expected) {
  const found = [];
  const present = new Set();
  const pending = [paths.containers];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const names = readdirSync(path);
    if (names.length === 0 && path !== paths.containers) found.push(`left in the store: the empty directory ${path}`);
    for (const name of names) {
      const inner = join(path, name);
      if (expected.has(inner)) present.add(inner);
      else if (/\/(?:rootfses|scratch)\/[^/]+$/.test(inner)) found.push(`left in the store: ${inner}`);
      else if (lstatSync(inner).isDirectory()) pending.push(inner);
      else found.push(`left in the store: ${inner}`);
    }
  }
  for (const path of expected) if (!present.has(path)) found.push(`recorded without a directory: ${path}`);
  return found;
}

/** None when there is no such directory. @param {string} path @returns {string[]} */
function namesIn(path) {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(path);
}

/** @param {string} path @returns {string | undefined} undefined when it cannot be read */
function readFileOr(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
