import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import { type MountNamespace, type MountPlace, whereabouts } from '../../system/locks/mount-place.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { RootfsPlace } from './rootfs-place.js';

/**
 * Why a rootfs that is not in this process's table of mounts may not be mounted here; undefined when it may. Two overlays on one upper directory break each
 * other, so not to be seen from here is not taken for unmounted.
 *
 *   kernel says   place recorded                     mounted again
 *   in use        any                                no
 *   not in use    none, before this boot, here       yes
 *                 another mount namespace            when the process that mounted it is dead
 *   nothing       before this boot, here             yes
 *                 another mount namespace, none      no
 *
 * @param inUse see `Backend.isInUse` @param isAlive tells whether a process still runs
 */
export function reasonNotToMount(
  place: MountPlace | undefined,
  here: MountNamespace,
  inUse: boolean | undefined,
  isAlive: (process: ProcessIdentity) => boolean,
): string | undefined {
  if (inUse === true) return `it is in use ${somewhereElse(place, here)}`;
  const where = whereabouts(place, here);
  if (where === 'before' || where === 'here') return undefined;
  if (inUse === undefined) return `it may be in use ${somewhereElse(place, here)}, and this kernel does not tell`;
  if (place === undefined || where === 'unknown' || !isAlive(place.process)) return undefined;
  return `it belongs to a living process in another mount namespace (${place.namespace})`;
}

/**
 * Whether what is in use may only be on its way out: the kernel lets go of the mounts of a process that was killed some time after its end, on a busy machine longer. @param error of a mount that was refused
 */
export function mayBeLetGoSoon(error: unknown): boolean {
  return isProvisionerError(error, 'ERR_CONTAINER_ELSEWHERE') && error.details['lettingGo'] === true;
}

/** @param why as `reasonNotToMount` gives it */
export function mountedElsewhere({ containerId, id }: RootfsPlace, why: string, lettingGo = false): ProvisionerError {
  return new ProvisionerError(
    'ERR_CONTAINER_ELSEWHERE',
    `the root filesystem ${id} of container ${containerId}: ${why}`,
    {
      hint: 'go to the mount namespace where it is mounted (nsenter --mount), or end the processes that use it',
      details: { containerId, rootfs: id, ...(lettingGo ? { lettingGo } : {}) },
    },
  );
}

/** Its mount point is gone, and with it every mount there, in all namespaces; but processes hold on to it. */
export function stillInUse(rootfs: RootfsPlace): ProvisionerError {
  const { containerId, id } = rootfs;
  return new ProvisionerError(
    'ERR_CONTAINER_ELSEWHERE',
    `container ${containerId} is in use in another mount namespace: its root filesystem ${id} was detached, and processes there still work in it`,
    {
      hint: 'end these processes, then destroy the container again; `provisioner recover` finishes it too',
      details: { containerId, rootfs: id, inUse: true },
    },
  );
}

/**
 * Nothing of it has been deleted. That the process which mounted it is dead proves nothing: those that it started may live on in its namespace, with files of the
 * rootfs open, and their changes would be deleted beneath them.
 */
export function mayBeInUse({ containerId, id }: RootfsPlace): ProvisionerError {
  return new ProvisionerError(
    'ERR_CONTAINER_ELSEWHERE',
    `container ${containerId} was mounted in another mount namespace, and whether its root filesystem ${id} is still in use there cannot be found out here: only who may mount is told by the kernel`,
    {
      hint: `destroy it where mounting is permitted: as root of a user namespace (unshare -rm provisioner destroy ${containerId}) or, for a store of root, as root`,
      details: { containerId, rootfs: id },
    },
  );
}

function somewhereElse(place: MountPlace | undefined, here: MountNamespace): string {
  return place !== undefined && whereabouts(place, here) === 'elsewhere'
    ? `in another mount namespace (${place.namespace})`
    : 'by a mount that is not seen from here: in another mount namespace, by another path, or detached and still busy';
}
