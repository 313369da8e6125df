import { statSync } from 'node:fs';
import { malformed } from '../base/malformed.js';
import { writeOwnFile } from '../base/own-files.js';
import { layerStacking } from '../paths.js';
import type { BytePath } from '../system/syscalls/byte-path.js';

/**
 * What a layer says about the layers below it, beyond its whiteouts and opaque directories on disk. A layer is unpacked without
 * knowing what lies below; when an image is put together, its store reads this and corrects what differs in a seam.
 */
export interface Stacking {
  /** Directories that the archive only implies, so they must look as they do below. The root is '' when it has no entry. */
  readonly implied: readonly BytePath[];
  /** Directories with whiteouts in them that are not opaque: overlay hides whiteouts only in directories that are merged. */
  readonly whiteoutDirectories: readonly BytePath[];
  /** Hard links to files that are not in this layer, in the order of the archive. */
  readonly lowerLinks: readonly LowerLink[];
}

export interface LowerLink {
  readonly path: BytePath;
  readonly target: BytePath;
}

export const NO_STACKING: Stacking = { implied: [], whiteoutDirectories: [], lowerLinks: [] };

/** Most layers say nothing, and loading it takes a thread 20 ms. */
const loadFsExtra = () => import('fs-extra/esm');

export function writeStacking(layerDirectory: string, stacking: Stacking): void {
  const { implied, whiteoutDirectories, lowerLinks } = stacking;
  if (implied.length + whiteoutDirectories.length + lowerLinks.length === 0) return;
  try {
    writeOwnFile(layerStacking(layerDirectory), `${JSON.stringify(stacking)}\n`);
  } catch (error) {
    // Control characters take six times their length, and then no string is long enough.
    if (error instanceof RangeError) throw malformed('it says more about the layers below than can be noted', error);
    throw error;
  }
}

export async function readStacking(layerDirectory: string): Promise<Stacking> {
  const file = layerStacking(layerDirectory);
  if (statSync(file, { throwIfNoEntry: false }) === undefined) return NO_STACKING;
  const { readJson } = await loadFsExtra();
  return await readJson(file);
}

/** What a layer asks for of those below it. */
export interface StackDependence {
  /** That directories look as they do below. The root is seen to when a rootfs is made; see `RootfsRequest.rootAttributes`. */
  readonly directories: boolean;
  /** Files to link to. */
  readonly links: boolean;
}

export const NO_DEPENDENCE: StackDependence = { directories: false, links: false };

/** A file of so many bytes is read in less than a millisecond. */
const LONG = 64 * 1024;

/** Whether reading what a layer says is work for another thread. */
export function isStackingLong(layerDirectory: string): boolean {
  const status = statSync(layerStacking(layerDirectory), { throwIfNoEntry: false });
  return status !== undefined && status.size > LONG;
}

export async function dependenceOf(layerDirectory: string): Promise<StackDependence> {
  const { implied, whiteoutDirectories, lowerLinks } = await readStacking(layerDirectory);
  const isBelowRoot = (path: BytePath): boolean => path !== '';
  return {
    directories: implied.some(isBelowRoot) || whiteoutDirectories.some(isBelowRoot),
    links: lowerLinks.length > 0,
  };
}
