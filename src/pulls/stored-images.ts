import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import type { ProvisionerEmitter } from '../events.js';
import type { Digest, ImageId } from '../image/digest.js';
import { formatPlatform, type Platform, parsePlatform } from '../image/platform.js';
import { formatReference, type Reference } from '../image/reference.js';
import type { ImageRecord, MetadataManager } from '../metadata/metadata-manager.js';
import type { PullKey } from '../metadata/pulls/pull-records.js';
import type { StoredImage } from '../sources/puller.js';
import { findByReference } from './find-image.js';
import { giveNames } from './foreign-images.js';

/** How often an image is got again that a prune took before its caller could have it. */
export const GET_ATTEMPTS = 3;

/** A stored image, as a pull left it. */
export interface PulledImage extends ImageRecord {
  /** The names that this pull gave it; `names` has those of before, too. */
  readonly namesGiven: readonly string[];
}

/** The images that are stored, for whoever may do with one instead of a pull. Nobody but the records is asked. */
export class StoredImages {
  readonly #records: { readonly metadata: MetadataManager; readonly events: ProvisionerEmitter };
  readonly #keyOf: (reference: Reference, platform: Platform) => PullKey;

  /** @param keyOf how the pull of a reference is called that says no more */
  constructor(
    records: { readonly metadata: MetadataManager; readonly events: ProvisionerEmitter },
    keyOf: (reference: Reference, platform: Platform) => PullKey,
  ) {
    this.#records = records;
    this.#keyOf = keyOf;
  }

  /**
   * The one that a reference means, if it fits the platform.
   * @param platform Default: whatever is stored under that name
   */
  async findFor(reference: Reference, platform: Platform | undefined): Promise<ImageRecord | undefined> {
    const { metadata } = this.#records;
    const found = await findByReference(metadata, reference, platform);
    if (found !== undefined || platform === undefined || reference.digest !== undefined) return found;
    const holder = await metadata.getImageByName(formatReference(reference));
    return holder && this.#findBeside(holder, reference, platform);
  }

  /**
   * The one that a reference means, used and given names, so that it need not be pulled. One that a prune takes meanwhile is looked for again.
   * @returns undefined when there is none, or none any more
   */
  async take(
    reference: Reference,
    platform: Platform | undefined,
    names: readonly string[],
  ): Promise<PulledImage | undefined> {
    for (let attempt = 0; attempt < GET_ATTEMPTS; attempt++) {
      const found = await this.findFor(reference, platform);
      if (found === undefined) return undefined;
      const taken = await this.takeKnown(found.id, names);
      if (taken !== undefined) return taken;
    }
    return undefined;
  }

  /** The same for one that has been found. */
  async takeKnown(id: ImageId, names: readonly string[]): Promise<PulledImage | undefined> {
    const used = await this.#use(id);
    return used && this.name(used, names);
  }

  /** What a source need not be asked for. @param digest of an image or an index */
  async findOffered(digest: Digest, platform: Platform): Promise<StoredImage | undefined> {
    const { metadata } = this.#records;
    const image =
      (await metadata.getImage(digest as ImageId)) ?? (await metadata.imageOfIndex(digest, formatPlatform(platform)));
    return image && { ...image, platform: parsePlatform(image.platform) };
  }

  /** Gives one names. @param image as it was a moment ago @returns undefined when a prune was quicker */
  async name(image: ImageRecord, names: readonly string[]): Promise<PulledImage | undefined> {
    try {
      const named = await giveNames(this.#records, image, names);
      return named && { ...named, namesGiven: names.filter((name) => named.names.includes(name)) };
    } catch (error) {
      if (isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND')) return undefined;
      throw error;
    }
  }

  /**
   * Notes that one was asked for, so that no prune takes it for one that nobody uses. Nobody is refused it because that cannot be written.
   * @returns its record as it is after that; undefined when a prune was quicker
   */
  async #use(id: ImageId): Promise<ImageRecord | undefined> {
    const { metadata } = this.#records;
    const image = await metadata.getImage(id);
    // Who asks again and again is answered without writing.
    if (image === undefined || image.lastUsedAt >= Date.now() - 1000) return image;
    try {
      await metadata.markUsed(id);
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE', 'ERR_PERMISSION', 'ERR_STORE_BUSY')) throw error;
    }
    // Writing may have waited for that very prune.
    return metadata.getImage(id);
  }

  /** One for another platform than the one that has the name: from the same index, or what was got last when it was asked for. */
  async #findBeside(holder: ImageRecord, reference: Reference, platform: Platform): Promise<ImageRecord | undefined> {
    const { metadata } = this.#records;
    const { outcomes } = await metadata.findPulls(this.#keyOf(reference, platform));
    const stored = outcomes.find(({ result }) => result.kind === 'stored')?.result;
    const last = stored?.kind === 'stored' ? await metadata.getImage(stored.image) : undefined;
    return last ?? metadata.imageBeside(holder.id, formatPlatform(platform));
  }
}

/** @param after what had just been done with it: `its pull` */
export function takenByPrune(image: ImageId, after: string, source: string): ProvisionerError {
  return new ProvisionerError('ERR_IMAGE_NOT_FOUND', `the image ${image} was removed right after ${after}`, {
    hint: 'another process prunes; exclude the image there, or pin it, and get it again',
    details: { image, source },
  });
}

/**
 * What a load throws when an archive holds several images of which some, or all, could not be stored: `ERR_LOAD_INCOMPLETE`. One image that fails does not keep the others from being stored,
 * and nobody takes what was stored for everything.
 */
export class LoadIncompleteError extends ProvisionerError {
  /** Those that are stored, as `load` would have given them. */
  readonly stored: readonly PulledImage[];
  /** Why each of the others is not, in the order of the archive; at least one. The message names the image, and so does `details.image`. */
  readonly failures: readonly ProvisionerError[];

  constructor(source: string, stored: readonly PulledImage[], failures: readonly ProvisionerError[]) {
    const [first] = failures;
    const all = stored.length + failures.length;
    super('ERR_LOAD_INCOMPLETE', `${failures.length} of ${all} images of ${source} are not stored: ${first?.message}`, {
      cause: first,
      hint: '`error.failures` has the error of each of them, `error.stored` the images that are stored',
      details: { stored: stored.map(({ id }) => id), failed: failures.map(({ message }) => message) },
    });
    this.stored = stored;
    this.failures = failures;
  }
}
