import { statfsSync } from 'node:fs';
import { ProvisionerError } from '../../base/errors.js';

/** Between two looks at the free space. */
const LOOK_BYTES = 32 * 2 ** 20;
/** What an entry takes without its data, roughly: an inode, a name, often a block. */
export const ENTRY_BYTES = 4096;

/** With so much left, what does not fit is refused for another reason: no value of an extended attribute has more than 64 KiB. @see xattr(7) */
const ROOM_BYTES = 2 ** 20;

/** Keeps the reserve of free space that was promised from what images ask to be written. */
export class SpaceWatch {
  readonly #directory: string;
  readonly #reserve: number;
  #unchecked = LOOK_BYTES;

  /** @param directory on the file system that is written to @param reserve bytes, see `UnpackLimits` */
  constructor(directory: string, reserve: number) {
    this.#directory = directory;
    this.#reserve = reserve;
  }

  /** Whether something small would fit, as far as the file system says so. */
  hasRoom(): boolean {
    const { bavail, bsize, files, ffree } = statfsSync(this.#directory);
    return bavail * bsize >= ROOM_BYTES && (files === 0 || ffree > 0);
  }

  /** Looks at the free space after every so many bytes. @throws ProvisionerError `ERR_NO_SPACE` */
  count(bytes: number): void {
    this.#unchecked += bytes;
    if (this.#unchecked >= LOOK_BYTES) this.look();
  }

  /** @throws ProvisionerError `ERR_NO_SPACE` */
  look(): void {
    this.#unchecked = 0;
    const { bavail, bsize } = statfsSync(this.#directory);
    const reserve = this.#reserve;
    if (bavail * bsize >= reserve) return;
    throw new ProvisionerError('ERR_NO_SPACE', `less than ${reserve} bytes are left on the store's file system`, {
      hint: 'free some space, or prune images that nothing uses; the reserve is the limit freeSpaceReserve',
      details: { free: bavail * bsize, reserve },
    });
  }
}
