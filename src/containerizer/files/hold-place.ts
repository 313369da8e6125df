import type { BytePath } from '../../system/syscalls/byte-path.js';
import type { HeldPlace } from '../bundle/rootfs/rootfs-view.js';
import type { OpenRoot } from './container-roots.js';
import { filesError, wrongKind } from './files-errors.js';
import { isMadeUp } from './kernel-file-systems.js';
import { MountedDirectory } from './mounts/mounted-directory.js';

/** What may be done with what the kernel makes up. */
const LOOKING = new Set(['look at', 'list']);

/** @throws ProvisionerError also for what the kernel makes up, which can be looked at and nothing else */
export function hold(
  root: OpenRoot,
  action: string,
  path: BytePath,
  how: { readonly follow?: boolean } = {},
): HeldPlace {
  let place: HeldPlace;
  try {
    place = root.view.hold(path, how);
  } catch (error) {
    throw filesError(error, action, root.shown(path));
  }
  if (LOOKING.has(action)) return place;
  try {
    if (place.directory instanceof MountedDirectory) place.directory.requireContent();
    if (!isMadeUp(place.directory)) return place;
    throw wrongKind(action, root.shown(place.path), 'the kernel makes it up, it is no stored file');
  } catch (error) {
    place.directory.close();
    throw error;
  }
}
