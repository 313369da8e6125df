// @ts-check
/*
 * node worker.mjs CONFIG
 *
 * One of the processes that use a store at random, several things at a time, until it is told to stop or is killed. It tells its journal what it is about to do and
 * what it was told; and it looks itself at what it can see: its own containers, and what a prune says it has done.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Provisioner } from '#src/index.js';
import { Random } from '../fuzz/random.mjs';
import { EXCLUDED, KEPT, LOOSE, PINNED } from './images.mjs';
import { rootfsFaults } from './invariants.mjs';
import { openJournal } from './journal.mjs';
import { readReference } from './reference.mjs';

/**
 * @typedef {object} WorkerConfig
 * @property {string} root
 * @property {string} owner
 * @property {string} name of this process; no other has had it
 * @property {number} seed
 * @property {Record<string, import('./images.mjs').TestImage>} images
 * @property {string} reference a file
 * @property {string} journal a file
 * @property {number} lanes things that it does at a time
 * @property {boolean} [unsafeNoSync]
 * @property {boolean} [mountsOnly] provisions and destroys by overlay and writes nothing, so that nothing brings to the disk what these operations do not
 * @property {boolean} [recoverFirst]
 * @property {readonly { id: string, image: string, files: Record<string, string> }[]} [adopted] containers of a process of this owner that is gone
 */

/** @type {WorkerConfig} */
const config = JSON.parse(process.argv[2] ?? '');
const { root, owner, name, images, lanes } = config;
const reference = readReference(config.reference).images;
const { tell, fault } = openJournal(config.journal, name);

/** @typedef {{ image: string, rootfs: string | undefined, files: Map<string, string>, busy: boolean }} OwnContainer */
/** @type {Map<string, OwnContainer>} */
const containers = new Map();
for (const { id, image, files } of config.adopted ?? []) {
  containers.set(id, { image, rootfs: undefined, files: new Map(Object.entries(files)), busy: false });
}
/** @type {string[]} */
const tags = [];
/** Images that were reported as stored and that no prune may take. */
const safe = new Set();
let last = 0;
let isPaused = false;
let isStopped = false;
let active = 0;

const provisioner = await Provisioner.open({
  root,
  owner,
  workers: 1,
  unsafeNoSync: config.unsafeNoSync === true,
  // Some of these stores are on disks that are small, so that they can be copied in no time.
  limits: { freeSpaceReserve: 1024 * 1024 },
});
tell({ what: 'ready' });
process.send?.('ready');
process.on('message', (/** @type {any} */ message) => void answer(message));
// The one that gives orders is gone: so is the test.
process.on('disconnect', () => process.exit(isStopped ? 0 : 1));
if (config.recoverFirst) await attempt('recover', {}, () => provisioner.recover());
await Promise.all(Array.from({ length: lanes }, (_, lane) => run(new Random(config.seed, lane))));
await provisioner.close({ sweep: config.seed % 2 === 0 ? 'finish' : 'leave' });
process.disconnect();

/** @param {{ order: 'pause' | 'resume' | 'stop' | 'recover', known?: string[] }} message */
async function answer({ order, known }) {
  if (order === 'stop') isStopped = true;
  if (order === 'pause') isPaused = true;
  if (order === 'resume') isPaused = false;
  if (order === 'recover')
    await attempt('recover', { known }, () => provisioner.recover({ knownContainerIds: known ?? [] }));
  if (order === 'pause') {
    while (active > 0) await sleep(2);
    await provisioner.store.swept();
    // What belongs to this process must be as it was made, whatever the others did meanwhile.
    for (const id of containers.keys()) look(id);
    await provisioner.store.swept();
  }
  process.send?.({ done: order, containers: [...containers.keys()] });
}

/** One lane: one thing after the other. @param {Random} random */
async function run(random) {
  while (!isStopped) {
    if (isPaused) {
      await sleep(2);
      continue;
    }
    active++;
    try {
      await step(random);
    } finally {
      active--;
    }
    // A turn for orders, when everything was answered at once.
    await sleep(0);
  }
}

/** @param {Random} random */
async function step(random) {
  if (config.mountsOnly) return mountOrDestroy(random);
  const choice = random.below(100);
  const crowd = containers.size > 12 ? 20 : 0;
  if (choice < 14) return pull(random);
  if (choice < 40 - crowd) return provision(random, 'overlay');
  if (choice < 50 - crowd) return provision(random, 'copy');
  if (choice < 78) return destroy(random);
  if (choice < 84) return prune(random);
  if (choice < 89) return tag();
  if (choice < 94) return untag(random);
  if (choice < 96) return attempt('recover', {}, () => provisioner.recover());
  const id = free(random);
  if (id !== undefined) look(id);
}

/** @param {Random} random */
async function mountOrDestroy(random) {
  if (!safe.has(KEPT)) {
    await attempt('pull', { image: KEPT }, () => provisioner.images.pull(images[KEPT]?.source ?? '', { name: KEPT }));
    safe.add(KEPT);
  }
  if (containers.size > random.below(20)) return destroy(random);
  const id = `${name}-${last++}`;
  await attempt('provision', { id, image: KEPT, backend: 'overlay' }, () =>
    provisioner.provision(id, KEPT, { backend: 'overlay', pullPolicy: 'never' }),
  );
  containers.set(id, { image: KEPT, rootfs: undefined, files: new Map(), busy: false });
}

/**
 * @template T @param {string} what @param {object} details @param {() => Promise<T>} work @param {(code: string) => boolean} [mayFail]
 * @param {(result: T) => object} [result] what else to tell
 * @returns {Promise<T | undefined>}
 */
async function attempt(what, details, work, mayFail = () => false, result = () => ({})) {
  tell({ what, state: 'begun', ...details });
  try {
    const outcome = await work();
    tell({ what, state: 'done', ...details, ...result(outcome) });
    return outcome;
  } catch (error) {
    const code = /** @type {any} */ (error)?.code;
    tell({ what, state: 'failed', ...details, code });
    if (!mayFail(code))
      fault(`${what} ${JSON.stringify(details)} failed: ${/** @type {any} */ (error)?.stack} ${cause(error)}`);
    return undefined;
  }
}

/** @param {any} error @returns {string} */
function cause(error) {
  return error?.cause === undefined ? '' : `, because of ${error.cause.stack ?? error.cause}`;
}

/** @param {Random} random */
async function pull(random) {
  const image = random.pick([KEPT, PINNED, ...LOOSE]);
  const pulled = await attempt('pull', { image }, () =>
    provisioner.images.pull(images[image]?.source ?? '', { name: image }),
  );
  if (pulled === undefined) return;
  if (pulled.id !== reference.get(image)?.id) fault(`the pull of ${image} reported ${JSON.stringify(pulled.id)}`);
  if (image === KEPT) safe.add(image);
  if (image !== PINNED) return;
  const pinned = await attempt('pin', { image }, () => provisioner.images.pin(image), isGone);
  if (pinned !== undefined) safe.add(image);
}

/** @param {string} code */
function isGone(code) {
  return code === 'ERR_IMAGE_NOT_FOUND' || code === 'ERR_LAYER_NOT_FOUND';
}

/** @param {Random} random @param {'overlay' | 'copy'} backend */
async function provision(random, backend) {
  const parent = random.chance(0.2) ? free(random) : undefined;
  const id = `${parent === undefined ? '' : `${parent}/`}${name}-${last++}`;
  const image = random.pick([KEPT, PINNED, ...LOOSE]);
  const mayBeAbsent = !safe.has(image);
  const what = random.chance(0.2) ? (images[image]?.source ?? '') : image;
  const above = parent === undefined ? undefined : containers.get(parent);
  if (above !== undefined) above.busy = true;
  const made = await attempt(
    'provision',
    { id, image, backend },
    () => provisioner.provision(id, what, { backend, pullPolicy: what.startsWith('oci:') ? 'missing' : 'never' }),
    (code) => mayBeAbsent && isGone(code),
  );
  if (above !== undefined) above.busy = false;
  if (made === undefined) return;
  containers.set(id, { image, rootfs: made.rootfs, files: new Map(), busy: false });
  look(id);
  if (random.chance(0.7)) change(id);
}

/** Writes something of its own. @param {string} id */
function change(id) {
  const container = containers.get(id);
  if (container?.rootfs === undefined) return;
  const path = `own-${last++}`;
  const text = `${id} ${path}\n`.repeat(20);
  tell({ what: 'change', state: 'begun', id, path });
  writeFileSync(join(container.rootfs, path), text, { flush: true });
  tell({ what: 'change', state: 'done', id, path, text });
  container.files.set(path, text);
}

/** Compares one of its containers with what it should be. @param {string} id */
function look(id) {
  const container = containers.get(id);
  const tree = reference.get(container?.image ?? '')?.rootfs;
  if (container?.rootfs === undefined || tree === undefined) return;
  const faults = rootfsFaults(container.rootfs, tree, container.files);
  if (faults.length > 0) fault(`container ${id} of ${container.image}: ${faults.slice(0, 5).join('; ')}`);
}

/** One of its containers with which nothing is being done, nor with one in it. @param {Random} random @returns {string | undefined} */
function free(random) {
  const ids = [...containers.keys()];
  const id = ids.length === 0 ? undefined : random.pick(ids);
  return id === undefined || treeOf(id).some((inner) => containers.get(inner)?.busy) ? undefined : id;
}

/** @param {string} id */
function treeOf(id) {
  return [...containers.keys()].filter((inner) => inner === id || inner.startsWith(`${id}/`));
}

/** @param {Random} random */
async function destroy(random) {
  const id = free(random);
  if (id === undefined) return;
  const ids = treeOf(id);
  for (const inner of ids) look(inner);
  for (const inner of ids) containers.delete(inner);
  const destroyed = await attempt('destroy', { id, ids }, () => provisioner.destroy(id));
  if (destroyed === false) fault(`the destroy of ${id} says that there is no such container`);
  if (await attempt('destroy', { id, ids: [] }, () => provisioner.destroy(id)))
    fault(`container ${id} was destroyed twice`);
}

/** @param {Random} random */
async function prune(random) {
  const keepBytes = random.chance(0.3) ? 200_000 : 0;
  await attempt(
    'prune',
    {},
    () => provisioner.pruneImages([EXCLUDED], { keepBytes }),
    undefined,
    (report) => {
      const layers = report.layers.filter(({ reasons }) => reasons.length === 0);
      const gone = report.images.filter(({ reasons }) => reasons.length === 0);
      const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
      if (bytes !== report.bytesFreed) fault(`a prune freed ${report.bytesFreed} bytes, its layers had ${bytes}`);
      for (const { names } of gone) {
        if (names.some((text) => text.includes('kept/'))) fault(`a prune took the excluded image ${names}`);
      }
      return { images: gone.length, layers: layers.length, held: report.lockHeld, waited: report.lockWaited };
    },
  );
}

async function tag() {
  const text = `own/${name}-${last++}:t`;
  const tagged = await attempt(
    'tag',
    { name: text },
    () => provisioner.images.tag(KEPT, text),
    (code) => isGone(code) && !safe.has(KEPT),
  );
  if (tagged !== undefined) tags.push(text);
}

/** @param {Random} random */
async function untag(random) {
  const [text] = tags.splice(random.below(tags.length), 1);
  if (text === undefined) return;
  const removed = await attempt('rmi', { name: text }, () => provisioner.images.remove(text));
  if (removed?.length !== 1) fault(`the rmi of ${text} removed ${removed}`);
}
