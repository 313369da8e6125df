import { chownSync, closeSync, linkSync, lstatSync, rmSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { fileError, systemCode } from '../base/errors.js';
import { makeOwnFile, makeOwnPlace } from '../base/own-files.js';
import { isOwnerOutOfReach } from '../files/tree/copying/copy-attributes.js';
import { type MarksOutOfReach, marksRefusal } from '../files/tree/marks.js';
import { overflowUser } from '../system/syscalls/user-namespace.js';

/** Neither root nor the overflow user, and mapped in every user namespace that has more than one id. */
const WITNESS_ID = 1;

/**
 * A file of the store that belongs to user 1 and group 1, left by the first who gives files of layers to others. Files have one owner on disk, and each user
 * namespace has a number of its own for him: who sees the witness with other numbers would see those of the layers so too, and give the files of a root
 * filesystem to the wrong users, or write layers that are wrong for everybody else. The same befalls who uses a store that was copied without its owners.
 *
 * Where nobody could give files to others, there is none: then all files of layers belong to the store's own user, who has been looked at before.
 * @see user_namespaces(7), "User and group ID mappings"
 */
export class OwnerWitness {
  readonly #path: string;
  readonly #tryIn: () => string;
  #isSound = false;

  /** @param tryIn begins the path of a directory on the same file system, for a moment */
  constructor(path: string, tryIn: () => string) {
    this.#path = path;
    this.#tryIn = tryIn;
  }

  /**
   * Undefined where owners are seen as they were written, and where there is no witness, which is then looked for again.
   * @throws ProvisionerError `ERR_PERMISSION`, `ERR_IO`
   */
  outOfReach(): MarksOutOfReach | undefined {
    if (this.#isSound) return undefined;
    const status = this.#status();
    if (status === undefined) return undefined;
    const { uid, gid } = status;
    this.#isSound = uid === WITNESS_ID && gid === WITNESS_ID;
    if (this.#isSound) return undefined;
    const seen =
      uid === overflowUser() ? 'it has no ids for them' : `user and group ${WITNESS_ID} as ${uid} and ${gid}`;
    return {
      reason: `this process sees the owners of files in the store with other ids than they were written with (${seen}), as in another user namespace, or when a store was copied without owners`,
      hint: 'run it in the user namespace in which the store was made, or use a store of its own here, with --root; a copy that has lost its owners cannot be used',
    };
  }

  /**
   * To be called before files are given to others. Leaves a witness where there is none and one can be had.
   * @throws ProvisionerError `ERR_PERMISSION` where ids are others here; `ERR_NO_SPACE`, `ERR_IO`
   */
  leave(): void {
    if (this.#isSound || process.geteuid?.() !== 0) return;
    if (this.#status() === undefined) this.#make();
    const out = this.outOfReach();
    if (out !== undefined) throw marksRefusal('write layers', out);
  }

  #status(): Stats | undefined {
    try {
      return lstatSync(this.#path, { throwIfNoEntry: false });
    } catch (error) {
      throw fileError(error, 'look at the owner', this.#path);
    }
  }

  #make(): void {
    let place: string | undefined;
    try {
      place = makeOwnPlace(this.#tryIn());
      const draft = join(place, 'owners');
      closeSync(makeOwnFile(draft, 'wx'));
      chownSync(draft, WITNESS_ID, WITNESS_ID);
      // A link appears whole or not at all, and the first of several processes wins.
      linkSync(draft, this.#path);
    } catch (error) {
      if (isOwnerOutOfReach(error) || systemCode(error) === 'EEXIST') return;
      throw fileError(error, 'leave a file of another owner', this.#path);
    } finally {
      if (place !== undefined) rmSync(place, { recursive: true, force: true });
    }
  }
}
