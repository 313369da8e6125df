import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { isProvisionerError } from '../../base/errors.js';
import { layerOfDirectory, layerTar } from '../../paths.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import type { CheckedLayer } from '../contents/check-layer.js';
import { archiveOf } from './rebuild-tar.js';

/**
 * Adds to the full check of a layer whether its archive can be made again, when it has a record of that and nothing else differs: then the files are what the archive was unpacked to.
 * @param pause called often; may throw
 */
export function checkArchive(
  directory: string,
  checked: CheckedLayer,
  calls: TreeCalls,
  pause: () => void,
): CheckedLayer {
  const id = layerOfDirectory(basename(directory));
  if (id === undefined || checked.count > 0 || !existsSync(layerTar(directory))) return checked;
  try {
    for (const _ of archiveOf(directory, id, calls)) pause();
    return checked;
  } catch (error) {
    if (!isProvisionerError(error, 'ERR_STORE_DAMAGED')) throw error;
    const path = basename(layerTar(directory));
    const difference = { path, what: 'record', expected: `the archive ${id}`, found: error.message } as const;
    return { ...checked, differences: [difference], count: 1 };
  }
}
