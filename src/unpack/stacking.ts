import { readJsonSync, writeJsonSync } from 'fs-extra/esm';
import { layerStacking } from '../paths.js';
import type { BytePath } from '../syscalls/byte-path.js';
import { malformed } from './malformed.js';

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

export function writeStacking(layerDirectory: string, stacking: Stacking): void {
  const { implied, whiteoutDirectories, lowerLinks } = stacking;
  if (implied.length + whiteoutDirectories.length + lowerLinks.length === 0) return;
  try {
    writeJsonSync(layerStacking(layerDirectory), stacking);
  } catch (error) {
    // Control characters take six times their length, and then no string is long enough.
    if (error instanceof RangeError) throw malformed('it says more about the layers below than can be noted', error);
    throw error;
  }
}

export function readStacking(layerDirectory: string): Stacking {
  try {
    return readJsonSync(layerStacking(layerDirectory)) as Stacking;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NO_STACKING;
    throw error;
  }
}
