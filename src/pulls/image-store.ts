import { randomUUID } from 'node:crypto';
import { isProvisionerError } from '../base/errors.js';
import { absolutePath } from '../base/working-directory.js';
import type { Digest, ImageId } from '../image/digest.js';
import { formatPlatform, type Platform, parsePlatform } from '../image/platform.js';
import { formatReference, type Reference } from '../image/reference.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import type { PullKey } from '../metadata/pulls/pull-records.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import type { ArchiveInput } from '../sources/archives/archive-spool.js';
import type { StoredImage } from '../sources/puller.js';
import { formatSource, type Source } from '../sources/source.js';
import { orAborted } from '../system/locks/or-aborted.js';
import { inflateOnThread } from '../workers/inflate-on-thread.js';
import { type Availability, availabilityOf, type PullUnderWay, pullUnderWay } from './availability.js';
import { findByReference } from './find-image.js';
import { giveNames } from './foreign-images.js';
import { type PullTerms, pullKey } from './pull-key.js';
import { type ImageStoreParts, PullRunner, type RunImage } from './pull-runner.js';
import { announcing, type LandedPull, type RunPull, SharedPulls } from './shared-pulls.js';

export interface PullRequest {
  readonly platform: Platform;
  /** Names to give the image, normalised. Default: those that the source itself gives it. */
  readonly names?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How registries are reached. */
  readonly registry?: RegistryOptions | undefined;
  /** Overrides the limit of that name. */
  readonly maxImageBytes?: number | undefined;
  /** False holds it back for a while when it has just failed. Default: true. */
  readonly force?: boolean | undefined;
}

/** A stored image, as a pull left it. */
export interface PulledImage extends ImageRecord {
  /** The names that this pull gave it; `names` has those of before, too. */
  readonly given: readonly string[];
}

/** Started while it is still being found out what there is to unpack: few images have fewer layers. */
const PREPARED_THREADS = 2;

/**
 * Images and their layers: gets them from sources, and finds them by name or digest. An image is recorded when all its layers are
 * stored, so an image that can be found can be provisioned.
 */
export class ImageStore {
  readonly #parts: ImageStoreParts;
  readonly #shared: SharedPulls;
  readonly #runner: PullRunner;
  /** Pulls under way, those of callers who gave up included. */
  readonly #pulling = new Set<Promise<unknown>>();

  constructor(parts: ImageStoreParts) {
    this.#parts = parts;
    this.#shared = new SharedPulls(parts);
    this.#runner = new PullRunner(parts);
  }

  /**
   * Stores one image, once for all who ask for it at the same time.
   * @throws what pullers and `unpackLayer` throw
   */
  async pull(source: Source, request: PullRequest): Promise<PulledImage> {
    const absolute = withAbsolutePath(source);
    const { names, force = true, signal, platform } = request;
    const run: RunPull = (pullId, cancel, given, liveness) =>
      // It may go on for a moment when its last caller has gone.
      this.#track(this.#run(absolute, request, { pullId, signal: cancel, given, liveness }));
    return this.#track(this.#shared.get(this.#key(absolute, platform, request), { names, force, signal }, run));
  }

  /** Notes that a stored image was asked for, so that no prune takes it for one that nobody uses. Nobody is refused it because that cannot be written. */
  async use(id: ImageId): Promise<void> {
    const { metadata } = this.#parts;
    const image = await metadata.getImage(id);
    // Who asks again and again is answered without writing.
    if (image === undefined || image.lastUsedAt >= Date.now() - 1000) return;
    try {
      await metadata.markUsed(id);
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE', 'ERR_PERMISSION', 'ERR_STORE_BUSY')) throw error;
    }
  }

  /** Gives names to an image that is stored. */
  async name(image: ImageRecord, names: readonly string[]): Promise<PulledImage> {
    const named = (await giveNames(this.#parts, image, names)) ?? image;
    return { ...named, given: names.filter((name) => named.names.includes(name)) };
  }

  /** Stores all images of an archive. @param input a file's path, or a stream */
  async load(input: ArchiveInput, request: PullRequest): Promise<PulledImage[]> {
    const source = input.kind === 'file' ? `archive:${absolutePath(input.path)}` : 'archive:-';
    const pullId = randomUUID();
    const platform = formatPlatform(request.platform);
    const given = (ofSource: readonly string[]) => request.names ?? ofSource;
    const load = async () => {
      // Its id for its terms: a stream is read once, so nobody can share it.
      const { metadata } = this.#parts;
      const liveness = this.#parts.liveness.another();
      await announcing(liveness, () =>
        metadata.announcePull(
          { pull: pullId, source, platform, terms: pullId, process: liveness.identity },
          liveness.isAlive,
        ),
      );
      const context = { pullId, signal: request.signal, given, liveness };
      return this.#runner.run(context, source, request, async (staging, signal) => {
        const { openArchive } = await import('../sources/archives/open-archive.js');
        return openArchive(input, {
          platform: request.platform,
          signal,
          stagingDirectory: staging,
          freeSpaceReserve: this.#parts.limits.freeSpaceReserve,
          inflate: inflateOnThread(this.#parts.pool),
        });
      });
    };
    const images = await orAborted(this.#track(load()), request.signal);
    // What it could not be given is told.
    return Promise.all(images.map((image) => this.name(image, given(image.ofSource))));
  }

  /**
   * What is known of an image that may be stored, pulled just now, or missing. Asks the records and nobody else.
   * @param platform that a stored one has to fit. Default: whatever is stored will do
   */
  async availability(source: Source, request: PullRequest, platform: Platform | undefined): Promise<Availability> {
    const key = this.#key(withAbsolutePath(source), request.platform, request);
    const { metadata, coolDown, liveness } = this.#parts;
    const stored = source.transport === 'docker' ? await this.findFor(source.reference, platform) : undefined;
    const pulls = await metadata.findPulls(key);
    const last = pulls.outcomes.find((outcome) => outcome.terms === key.terms);
    // A layout or an archive has to be read to know what is in it; what a pull found there holds until it is written anew.
    const found = last?.result.kind === 'stored' ? await metadata.getImage(last.result.image) : undefined;
    const image = stored ?? (source.transport === 'docker' ? undefined : found);
    return availabilityOf(
      { image, running: pulls.running.filter(({ process }) => liveness.isAlive(process)), last },
      Date.now(),
      coolDown,
    );
  }

  /** The pulls under way, in all processes, oldest first. */
  async pulls(): Promise<PullUnderWay[]> {
    const { metadata, liveness } = this.#parts;
    const running = await metadata.listPulls();
    return running.filter(({ process }) => liveness.isAlive(process)).map(pullUnderWay);
  }

  /**
   * The stored image that a reference means, if it fits the platform; nobody is asked.
   * @param platform Default: whatever is stored under that name
   */
  async findFor(reference: Reference, platform: Platform | undefined): Promise<ImageRecord | undefined> {
    const { metadata } = this.#parts;
    const found = await findByReference(metadata, reference, platform);
    if (found !== undefined || platform === undefined || reference.digest !== undefined) return found;
    const holder = await metadata.getImageByName(formatReference(reference));
    return holder && this.#findBeside(holder, reference, platform);
  }

  /** An image for another platform than the one that has the name: from the same index, or what was got last when it was asked for. */
  async #findBeside(holder: ImageRecord, reference: Reference, platform: Platform): Promise<ImageRecord | undefined> {
    const { metadata } = this.#parts;
    const { outcomes } = await metadata.findPulls(this.#key({ transport: 'docker', reference }, platform, {}));
    const stored = outcomes.find(({ result }) => result.kind === 'stored')?.result;
    const last = stored?.kind === 'stored' ? await metadata.getImage(stored.image) : undefined;
    return last ?? metadata.imageBeside(holder.id, formatPlatform(platform));
  }

  /** Resolves when no pull is under way. */
  async idle(): Promise<void> {
    while (this.#pulling.size > 0) await Promise.allSettled(this.#pulling);
    await this.#runner.idle();
  }

  /** What a source need not be asked for. */
  async #findStored(digest: Digest, platform: Platform): Promise<StoredImage | undefined> {
    const { metadata } = this.#parts;
    const image =
      (await metadata.getImage(digest as ImageId)) ?? (await metadata.imageOfIndex(digest, formatPlatform(platform)));
    return image && { ...image, platform: parsePlatform(image.platform) };
  }

  async #run(source: Source, request: PullRequest, context: Parameters<PullRunner['run']>[0]): Promise<LandedPull> {
    const { platform } = request;
    const prepare = () => this.#parts.pool.prepare(PREPARED_THREADS);
    // One whose name is known is most often up to date.
    if (source.transport === 'docker' && (await this.findFor(source.reference, platform)) === undefined) prepare();
    const [image] = await this.#runner.run(context, formatSource(source), request, async (staging, signal) => {
      const { openSource } = await import('../sources/open-source.js');
      return openSource(source, {
        stagingDirectory: staging,
        freeSpaceReserve: this.#parts.limits.freeSpaceReserve,
        inflate: inflateOnThread(this.#parts.pool),
        openRepository: this.#parts.registries.opener(request.registry ?? {}),
      }).open({
        platform,
        signal,
        stored: async (digest) => {
          const found = await this.#findStored(digest, platform);
          if (found === undefined) prepare();
          return found;
        },
      });
    });
    const { id, ofSource } = image as RunImage;
    return { image: id, names: ofSource };
  }

  #key(source: Source, platform: Platform, { registry, maxImageBytes }: PullTerms): PullKey {
    return pullKey(source, platform, { registry, maxImageBytes: maxImageBytes ?? this.#parts.limits.maxImageBytes });
  }

  /** Keeps `idle` waiting for what is under way. */
  #track<T>(work: Promise<T>): Promise<T> {
    this.#pulling.add(work);
    const done = () => this.#pulling.delete(work);
    work.then(done, done);
    return work;
  }
}

function withAbsolutePath(source: Source): Source {
  return source.transport === 'docker' ? source : { ...source, path: absolutePath(source.path) };
}
