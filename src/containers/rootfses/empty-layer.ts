import { chmodSync, lutimesSync, mkdirSync } from 'node:fs';
import type { StackedLayer } from '../../backends/backend.js';
import { systemCode } from '../../base/errors.js';
import { emptyLayer } from '../../paths.js';

/** As of a layer's root that no entry describes. */
const MODE = 0o755;
const EPOCH = 0;

/**
 * The layers that a backend is given: those of the image, or, for an image without any, an empty directory of the container's own. Backends need something to stand on (overlay
 * mounts no empty stack, and bind shows a directory), and need not know of such images.
 * @param scratch of the rootfs; the directory is made in it, and goes with it
 */
export function layersToShow(stack: readonly StackedLayer[], scratch: string): readonly StackedLayer[] {
  if (stack.length > 0) return stack;
  const rootfs = emptyLayer(scratch);
  try {
    mkdirSync(rootfs);
    chmodSync(rootfs, MODE);
    lutimesSync(rootfs, EPOCH, EPOCH);
  } catch (error) {
    // Made when it was mounted before.
    if (systemCode(error) !== 'EEXIST') throw error;
  }
  // No record has this id, and nothing asks for it: it only has to be one.
  const id = `sha256:${'0'.repeat(64)}` as const;
  return [
    {
      id,
      rootfs,
      bytes: 0,
      entries: 0,
      opaqueRoot: false,
      whiteouts: false,
      describesRoot: false,
      tar: 'seam',
      tarBytes: 0,
    },
  ];
}
