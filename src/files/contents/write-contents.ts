import { lstatSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { layerRootfs, layerStacking } from '../../paths.js';
import { toBytePath } from '../../system/syscalls/byte-path.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import { ContentsWriter, digestOfFile } from './contents-file.js';
import { type WalkOptions, walkTree } from './walk-tree.js';

/** What is known about files that have just been written, so that they need not be read again. */
export type KnownFiles = Pick<WalkOptions, 'checksum' | 'mayHaveXattrs'>;

/** What is known about a layer that has just been written. */
export interface KnownContents extends KnownFiles {
  /** The checksum of its tar record; null where there is none. */
  readonly tar: string | null;
}

const NOTHING_KNOWN: KnownContents = { checksum: () => undefined, mayHaveXattrs: () => true, tar: null };
/** The unit of `blocks` in a file's status. @see inode(7) */
const STAT_BLOCK = 512;

/**
 * Writes the record of a layer that is complete, beside its rootfs. It records what is there, not what the archive asked for: what an ordinary
 * user could not apply, or a file system rounded, is no damage later.
 * @param known default: nothing, and every file is read
 * @param pause called often; may throw
 * @returns disk use of the layer's directory in bytes, as `du` counts it, the record included
 * @throws like Node's `fs`
 */
export function writeContents(
  layerDirectory: string,
  calls: TreeCalls,
  known = NOTHING_KNOWN,
  pause: () => void = () => {},
): number {
  const rootfs = basename(layerRootfs(layerDirectory));
  const writer = new ContentsWriter(layerDirectory);
  let disk: number;
  try {
    disk = walkTree(layerDirectory, toBytePath(rootfs), writer, { ...known, calls, pause });
    writer.finish({ stacking: digestOfFile(layerStacking(layerDirectory)), tar: known.tar });
  } finally {
    writer.close();
  }
  // A file system in user space may say only of a file that is closed what it takes.
  return disk + bytesBeside(rootfs, layerDirectory);
}

/** Disk use of a layer's directory without that of its root filesystem. @param rootfs its name */
export function bytesBeside(rootfs: string, layerDirectory: string): number {
  const beside = readdirSync(layerDirectory).filter((name) => name !== rootfs);
  const used = ['', ...beside].map((name) => lstatSync(join(layerDirectory, name), { throwIfNoEntry: false })?.blocks);
  // What has gone since it was listed takes nothing.
  return used.reduce<number>((sum, blocks) => sum + (blocks ?? 0) * STAT_BLOCK, 0);
}
