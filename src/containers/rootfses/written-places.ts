import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isMountedBackend } from '../../backends/backend.js';
import { keptIn } from '../../backends/memory-place.js';
import { systemCode } from '../../base/errors.js';
import { anonymousVolumes } from '../../paths.js';
import type { RootfsDirectories } from './rootfs-directories.js';
import type { RootfsPlace } from './rootfs-place.js';

/** Where all that is written to a rootfs comes to lie, on disk or in memory: its copy, what overlay keeps, its volumes without a name. Whoever adds a volume finds the directory above them as it was. */
export function writtenPlaces(directories: RootfsDirectories, place: RootfsPlace): string[] {
  const scratch = directories.scratch(place);
  const kept = keptIn(scratch);
  const volumes = anonymousVolumes(kept);
  const places = entriesOf(kept).flatMap((path) => (path === volumes ? entriesOf(volumes) : [path]));
  return isMountedBackend(place.backend) ? places : [directories.rootfs(place), ...places];
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}
