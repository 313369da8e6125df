import { isProvisionerError } from '../base/errors.js';
import type { ProvisionerEmitter } from '../events.js';
import type { Digest, ImageId } from '../image/digest.js';
import { formatPlatform, type Platform, parsePlatform } from '../image/platform.js';
import { formatReference, type Reference } from '../image/reference.js';
import type { ImageRecord, MetadataManager } from '../metadata/metadata-manager.js';
import type { PullKey } from '../metadata/pulls/pull-records.js';
import type { StoredImage } from '../sources/puller.js';
import { findByReference } from './find-image.js';
import { giveNames } from './foreign-images.js';

/** A stored image, as a pull left it. */
export interface PulledImage extends ImageRecord {
  /** The names that this pull gave it; `names` has those of before, too. */
  readonly given: readonly string[];
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

  /** What a source need not be asked for. @param digest of an image or an index */
  async findOffered(digest: Digest, platform: Platform): Promise<StoredImage | undefined> {
    const { metadata } = this.#records;
    const image =
      (await metadata.getImage(digest as ImageId)) ?? (await metadata.imageOfIndex(digest, formatPlatform(platform)));
    return image && { ...image, platform: parsePlatform(image.platform) };
  }

  /** Notes that one was asked for, so that no prune takes it for one that nobody uses. Nobody is refused it because that cannot be written. */
  async use(id: ImageId): Promise<void> {
    const { metadata } = this.#records;
    const image = await metadata.getImage(id);
    // Who asks again and again is answered without writing.
    if (image === undefined || image.lastUsedAt >= Date.now() - 1000) return;
    try {
      await metadata.markUsed(id);
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE', 'ERR_PERMISSION', 'ERR_STORE_BUSY')) throw error;
    }
  }

  /** Gives one names. */
  async name(image: ImageRecord, names: readonly string[]): Promise<PulledImage> {
    const named = (await giveNames(this.#records, image, names)) ?? image;
    return { ...named, given: names.filter((name) => named.names.includes(name)) };
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
