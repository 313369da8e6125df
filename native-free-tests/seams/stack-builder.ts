import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_UNPACK_LIMITS, type UnpackLimits } from '#src/base/config.js';
import { copyLayers } from '#src/files/tree/copying/copy-layers.js';
import type { LinkingLayer } from '#src/seams/collect-links.js';
import { type MadeSeam, makeSeam, type SeamRequest } from '#src/seams/make-seam.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { NativeFreeTreeCalls } from '#src/system/syscalls/native-free/native-free-tree-calls.js';
import { dependenceOf } from '#src/unpack/stacking.js';
import { buildLayer } from '../helpers/image-builder.js';
import { describeTree, type Layers } from '../helpers/layers.js';

export type Entries = Parameters<typeof buildLayer>[0];

export interface StackOptions {
  readonly limits?: Partial<UnpackLimits>;
  /** Default: plain. */
  readonly whiteouts?: 'plain' | 'renamed';
  readonly isCancelled?: () => boolean;
}

export interface Stack {
  /** Of layers and seams, bottom first. */
  readonly directories: readonly string[];
  readonly seams: readonly MadeSeam[];
  /** A copy of what they show. */
  readonly rootfs: string;
  readonly tree: Readonly<Record<string, string>>;
}

let count = 0;

/** Unpacks layers with whiteouts that are files, makes their seams as an image's stack has them, and copies what all of it shows. */
export async function stackOf(
  layers: Layers,
  archives: readonly Entries[],
  options: StackOptions = {},
): Promise<Stack> {
  const unpacked: string[] = [];
  const format = options.whiteouts ?? 'plain';
  for (const entries of archives)
    unpacked.push(join((await layers.unpack(buildLayer(entries).tar, { format })).rootfs, '..'));
  return seamed(layers, unpacked, options);
}

/** As `stackOf`, of layers that have been unpacked. */
export async function seamed(layers: Layers, unpacked: readonly string[], options: StackOptions = {}): Promise<Stack> {
  const { isCancelled = () => false, whiteouts = 'plain' } = options;
  const limits = { ...DEFAULT_UNPACK_LIMITS, freeSpaceReserve: 0, ...options.limits };
  const dependences = await Promise.all(unpacked.map((directory) => dependenceOf(directory)));
  const directories: string[] = [];
  const seams: MadeSeam[] = [];
  const make = async (wanted: Pick<SeamRequest, 'directories' | 'linking'>): Promise<void> => {
    const target = join(layers.path, `seam-${count++}`);
    mkdirSync(target);
    const request = {
      ...wanted,
      stack: [...directories],
      target,
      whiteouts,
      privileged: false,
      limits,
    } as const;
    const seam = await makeSeam(request, new NativeFreeTreeCalls(), isCancelled);
    seams.push(seam);
    if (seam.entries > 0) directories.push(target);
  };
  const linking: LinkingLayer[] = [];
  const last = dependences.findLastIndex(({ links }) => links);
  for (const [index, directory] of unpacked.entries()) {
    const layer = directories.length;
    directories.push(directory);
    if (dependences[index]?.directories) await make({ directories: true, linking: [] });
    if (dependences[index]?.links) linking.push({ layer, end: directories.length });
    if (index === last) await make({ directories: false, linking });
  }
  const rootfs = join(layers.path, `rootfs-${count++}`);
  mkdirSync(rootfs);
  copyLayers({
    layers: directories.map((directory) => join(directory, 'rootfs')),
    target: rootfs,
    whiteouts,
    privileged: false,
    syscalls: new NativeFreeSyscalls(),
  });
  return { directories, seams, rootfs, tree: describeTree(rootfs) };
}

/** Whether all these names are names of one file. */
export function isOneFile(rootfs: string, ...names: readonly string[]): boolean {
  return new Set(names.map((name) => statSync(join(rootfs, name)).ino)).size === 1;
}
