import { ProvisionerError } from '../base/errors.js';
import type { ContainerInfo, RootfsInfo } from '../index.js';

/**
 * The root filesystem of a container that something was launched in, or the only one; ready to be used.
 * @param path in which something was launched; absolute. Undefined where nothing was
 * @throws ProvisionerError `ERR_ROOTFS_UNAVAILABLE`, `ERR_CONTAINER_ELSEWHERE`
 */
export function rootfsOf(
  containerId: string,
  container: ContainerInfo | undefined,
  path: string | undefined,
): RootfsInfo {
  const all = container?.rootfses ?? [];
  const [rootfs, ...others] = path === undefined ? all : all.filter((one) => one.rootfs === path);
  if (rootfs === undefined)
    throw unavailable(containerId, 'there is none yet, or none any more', 'look at `provisioner ps`');
  if (others.length > 0)
    throw unavailable(containerId, `it has ${all.length} of them`, 'provision each image in a container of its own');
  switch (rootfs.state) {
    case 'ready':
      return rootfs;
    case 'unmounted':
      throw rootfs.isLost ? lost(containerId) : unmounted(containerId);
    case 'elsewhere':
      throw new ProvisionerError(
        'ERR_CONTAINER_ELSEWHERE',
        `the root filesystem of container ${containerId} is mounted where this process does not see it`,
        { hint: 'ask where it is mounted, such as in the service that has provisioned it', details: { containerId } },
      );
    case 'provisioning':
      throw unavailable(containerId, 'it is being made, or was not made to its end', 'wait, or recover the store');
  }
}

export function unmounted(containerId: string): ProvisionerError {
  return unavailable(
    containerId,
    'it is not mounted, as after a reboot',
    '`provisioner recover` mounts it again, with all that is in it',
  );
}

function lost(containerId: string): ProvisionerError {
  return unavailable(
    containerId,
    'what was written to it was kept in memory, and is gone, as with a reboot',
    `launch it anew: \`provisioner destroy ${containerId}\`, then \`run\``,
  );
}

export function unavailable(containerId: string, why: string, hint: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError(
    'ERR_ROOTFS_UNAVAILABLE',
    `the root filesystem of container ${containerId} cannot be had: ${why}`,
    { ...(cause === undefined ? {} : { cause }), hint, details: { containerId } },
  );
}
