import type { ImageId, ProvisionedRootfs } from '../../../index.js';

/** The root filesystem that a program is started in. */
export interface LaunchRoot {
  /** As the store names it. */
  readonly id: string;
  /** Absolute. */
  readonly path: string;
  /** Nothing can be written to it, whatever the launch says. */
  readonly isReadOnly: boolean;
  readonly image: ImageId;
  /** What the image says of its program. */
  readonly runtime: ProvisionedRootfs['runtime'];
}

export function rootOf(made: ProvisionedRootfs): LaunchRoot {
  return {
    id: made.rootfsId,
    path: made.rootfs,
    isReadOnly: made.backend === 'bind',
    image: made.image.id,
    runtime: made.runtime,
  };
}
