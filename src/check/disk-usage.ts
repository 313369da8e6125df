import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../base/errors.js';
import { mapUnhurried, unhurried } from '../base/unhurried.js';
import { readNames } from '../files/tree/read-names.js';
import { digestHex, type ImageId, type LayerId } from '../image/digest.js';
import type { LayerStoreNeeds } from '../layer-store/layer-store.js';
import { abandonedStaging } from '../layer-store/reconcile-staging.js';
import type { ContainerRecord, ImageSummary, LayerRecord } from '../metadata/metadata-manager.js';
import { listDirectory } from './list-directory.js';

/** A number of things and what they take on disk, in bytes as `du` counts them. */
export interface Share {
  readonly count: number;
  readonly bytes: number;
}

/** Where the disk of a store goes. All but `images` and the parts of `layers` add up to `total`. */
export interface DiskUsage {
  /** What `du -sx --block-size=1` says of the store's directory. Taken while others work on the store, it is as blurred as that. */
  readonly total: number;
  /** Newest first; a layer that several images have counts for each. */
  readonly images: readonly { readonly id: ImageId; readonly names: readonly string[]; readonly bytes: number }[];
  readonly layers: Share & {
    /** Some root filesystem has them. */
    readonly active: Share;
    /** More than one image has them. */
    readonly shared: Share;
    /** Neither an image nor a root filesystem has them: the next prune takes them. */
    readonly unused: Share;
    /** What is kept of them so that their archives can be made again; `bytes` are those of the files. */
    readonly tarRecords: Share;
  };
  /** Containers, with what they have changed (overlay) or copied. What is mounted in them is not theirs. */
  readonly containers: Share;
  readonly staging: Share & {
    /** What dead pulls left: the next pull, prune or recovery takes it. */
    readonly abandoned: Share;
  };
  /** What waits to be swept. */
  readonly gc: Share;
  /** Layers that were healed while in use, as they were. */
  readonly parked: Share;
  /** Those with names. Those without are part of their containers. */
  readonly volumes: Share;
  /** What is kept of launches: their logs, above all. */
  readonly launches: Share;
  /** Space set aside, which is given up when the disk is full. */
  readonly reserve: Share;
  /** Records, locks, and the directories that all this lies in. */
  readonly records: number;
  /** What no record accounts for. */
  readonly unaccounted: Share;
}

/** Adds up what the records say of layers, and measures the rest. */
export async function measureStore(needs: LayerStoreNeeds, signal?: AbortSignal): Promise<DiskUsage> {
  const { paths, metadata } = needs;
  const [layers, images, containers] = await Promise.all([
    metadata.listLayers(),
    metadata.listImages(),
    metadata.listContainers(),
  ]);
  const [containerTree, volumes, staging, gc, parked, launches, reserve] = await Promise.all(
    [paths.containers, paths.volumes, paths.staging, paths.gc, paths.parked, paths.launches, paths.reserve].map(
      (path) => share(path, needs, signal),
    ),
  );
  const recorded = new Map<string, LayerRecord>();
  for await (const layer of unhurried(layers)) recorded.set(digestHex(layer.id), layer);
  const present: LayerRecord[] = [];
  const strangers: string[] = [];
  for await (const name of unhurried(await readNames(paths.layers))) {
    const layer = recorded.get(name);
    if (layer === undefined) strangers.push(join(paths.layers, name));
    else present.push(layer);
  }
  const own = new Set(paths.own);
  const inRoot = listDirectory(paths.root).map((name) => join(paths.root, name));
  strangers.push(...inRoot.filter((path) => !own.has(path)));
  const trees = new Set(paths.ownDirectories.filter((path) => path !== paths.alive));
  const files = inRoot.filter((path) => own.has(path) && !trees.has(path));
  const records = [paths.root, paths.layers, ...files].reduce((sum, path) => sum + diskOf(path), 0);
  const unaccounted: Share = {
    count: strangers.length,
    bytes: sum(await Promise.all(strangers.map((path) => measure(path, needs, signal)))),
  };
  const usage = {
    layers: await shares(present, images, containers),
    containers: { ...(containerTree as Share), count: containers.length },
    volumes: volumes as Share,
    staging: { ...(staging as Share), abandoned: await abandonedShare(needs, signal) },
    gc: gc as Share,
    parked: parked as Share,
    launches: launches as Share,
    reserve: reserve as Share,
    unaccounted,
  };
  return {
    total: records + sum(Object.values(usage).map(({ bytes }) => bytes)),
    images: await mapUnhurried(images, ({ id, names, bytes }) => ({ id, names, bytes })),
    records,
    ...usage,
  };
}

async function shares(
  layers: readonly LayerRecord[],
  images: readonly ImageSummary[],
  containers: readonly ContainerRecord[],
): Promise<DiskUsage['layers']> {
  const actives = new Set<LayerId>();
  for await (const { rootfses } of unhurried(containers)) {
    for (const id of rootfses.flatMap((rootfs) => rootfs.layers)) actives.add(id);
  }
  const holders = new Map<LayerId, number>();
  for await (const image of unhurried(images)) {
    for (const id of new Set(image.layers)) holders.set(id, (holders.get(id) ?? 0) + 1);
  }
  const all = new Sum();
  const active = new Sum();
  const shared = new Sum();
  const unused = new Sum();
  const tarRecords = new Sum();
  for await (const { id, bytes, tar, tarBytes } of unhurried(layers)) {
    const isActive = actives.has(id);
    const held = holders.get(id) ?? 0;
    all.add(bytes);
    if (tar === 'kept') tarRecords.add(tarBytes);
    if (isActive) active.add(bytes);
    if (held > 1) shared.add(bytes);
    if (!isActive && held === 0) unused.add(bytes);
  }
  return { ...all, active: { ...active }, shared: { ...shared }, unused: { ...unused }, tarRecords: { ...tarRecords } };
}

class Sum implements Share {
  count = 0;
  bytes = 0;

  add(bytes: number): void {
    this.count++;
    this.bytes += bytes;
  }
}

async function abandonedShare(needs: LayerStoreNeeds, signal: AbortSignal | undefined): Promise<Share> {
  const { left } = await abandonedStaging(needs);
  return { count: left.length, bytes: sum(await Promise.all(left.map((path) => measure(path, needs, signal)))) };
}

async function share(path: string, needs: LayerStoreNeeds, signal: AbortSignal | undefined): Promise<Share> {
  return { count: (await readNames(path)).length, bytes: await measure(path, needs, signal) };
}

/** Of a tree, or of what is no directory; 0 for what is not there. */
async function measure(path: string, { pool }: LayerStoreNeeds, signal: AbortSignal | undefined): Promise<number> {
  try {
    return (await pool.run('measure-tree', { path, skipUnreadable: true }, { signal })).bytes;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return 0;
    if (code === 'ENOTDIR' || code === 'ELOOP') return diskOf(path);
    throw error;
  }
}

/** The unit of `blocks` in a file's status. @see inode(7) */
const STAT_BLOCK = 512;

function diskOf(path: string): number {
  return (lstatSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * STAT_BLOCK;
}

function sum(values: readonly number[]): number {
  return values.reduce((one, other) => one + other, 0);
}
