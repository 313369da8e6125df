import { readlinkSync } from 'node:fs';
import { type BytePath, nodePath } from './byte-path.js';

/** Where a symlink points, byte for byte; undefined for what is no symlink. */
export function readLink(path: BytePath): BytePath | undefined {
  try {
    return readlinkSync(nodePath(path), 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined;
    throw error;
  }
}
