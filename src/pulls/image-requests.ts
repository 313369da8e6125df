import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import { overridden } from '../base/options/check-options.js';
import { absolutePath } from '../base/working-directory.js';
import type { Digest, ImageId } from '../image/digest.js';
import { formatPlatform, type Platform, parsePlatform, platformFit } from '../image/platform.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import type { PullKey } from '../metadata/pulls/pull-records.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import { requireRegistryFiles } from '../registry/require-registry-files.js';
import type { ArchiveInput } from '../sources/archives/archive-spool.js';
import { ImageFailures } from '../sources/image-failures.js';
import { formatSource, parseSource, type Source, withAbsolutePath } from '../sources/source.js';
import { orAborted } from '../system/locks/or-aborted.js';
import { type Availability, availabilityOf, type PullUnderWay, pullUnderWay } from './availability.js';
import { findImage } from './find-image.js';
import { nameToGive, tryImageName, wantedPlatform } from './names-to-give.js';
import { openingArchive, openingSource } from './opening.js';
import { type PullTerms, pullKey } from './pull-key.js';
import type { ImageRequestOptions, LoadOptions, PullImageOptions } from './pull-options.js';
import { type PullNeeds, PullRunner, type RunContext, type RunImage } from './pull-runner.js';
import { announcing, type LandedPull, type RunPull, SharedPulls } from './shared-pulls.js';
import { LoadIncompleteError, type PulledImage, StoredImages, takenByPrune } from './stored-images.js';

/** What is asked for, understood. */
interface PullRequest {
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

/** Started while it is still being found out what there is to unpack: few images have fewer layers. */
const PREPARED_THREADS = 2;

/**
 * What is asked for images: by whoever waits for one, and by whoever does not.
 *
 *   stored? ──► one pull for all who want the same (`SharedPulls`) ──► from opening the source to the record (`PullRunner`)
 */
export class ImageRequests {
  readonly #needs: PullNeeds;
  readonly #registry: RegistryOptions;
  readonly #stored: StoredImages;
  readonly #shared: SharedPulls;
  readonly #runner: PullRunner;
  /** Pulls under way, those of callers who gave up included. */
  readonly #pulling = new Set<Promise<unknown>>();
  /** Pulls in the background, by what was asked for. */
  readonly #background = new Map<string, Promise<unknown>>();
  readonly #givenUp: AbortSignal;

  /**
   * @param registry how registries are reached where a call does not say
   * @param givenUp aborts when nothing shall go on in the background any more
   */
  constructor(needs: PullNeeds, registry: RegistryOptions | undefined, givenUp: AbortSignal) {
    this.#needs = needs;
    this.#registry = registry ?? {};
    this.#givenUp = givenUp;
    this.#stored = new StoredImages(needs, (reference, platform) =>
      this.#key({ transport: 'docker', reference }, platform, {}),
    );
    this.#shared = new SharedPulls({ ...needs, stored: this.#stored });
    this.#runner = new PullRunner(needs);
  }

  /** An image, pulled as the policy says. @param text a source */
  async pull(text: string, options: PullImageOptions): Promise<PulledImage> {
    const policy = options.pullPolicy ?? 'always';
    const source = parseSource(text);
    const request = this.#request(options);
    await requireRegistryFiles(options.registry);
    const stored = policy === 'always' ? undefined : await this.#takeStored(source, options.platform, request.names);
    if (stored !== undefined) return stored;
    if (policy === 'never') throw notStored(text, source, options.platform);
    return this.#pull(source, request);
  }

  /** The image for a container. @param text a name, a digest, the first digits of one, or a source */
  async resolve(
    text: string,
    options: Omit<PullImageOptions, 'name'>,
    beforePull: () => Promise<void> = async () => {},
  ): Promise<ImageRecord> {
    const { pullPolicy = 'missing', platform } = options;
    await requireRegistryFiles(options.registry);
    // A layout or an archive must be read to know which image is in it; its layers are read only when they are missing.
    const isSource = /^(?:oci|oci-archive|docker-archive):/.test(text);
    if (isSource || pullPolicy === 'always') {
      await beforePull();
      return this.pull(text, { ...options, pullPolicy: pullPolicy === 'never' ? 'never' : 'always' });
    }
    const name = text.replace(/^docker:\/\//, '');
    try {
      const found = await findImage(this.#needs.metadata, name);
      if (platform === undefined || platformFit(parsePlatform(platform), parsePlatform(found.platform)) > 0)
        return found;
    } catch (error) {
      // The digits of a digest say nothing of where the image could be had.
      const elsewhere = pullPolicy === 'missing' && tryImageName(name) !== undefined;
      if (!elsewhere || !isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND')) throw error;
    }
    await beforePull();
    return this.pull(text, { ...options, pullPolicy });
  }

  /** What is known of an image at once. */
  async availability(text: string, options: ImageRequestOptions): Promise<Availability> {
    const { platform } = options;
    const fitting = platform === undefined ? undefined : parsePlatform(platform);
    await requireRegistryFiles(options.registry);
    return this.#availability(parseSource(text), this.#request(options), fitting);
  }

  /** Sees to it that an image will be there, and tells how it stands now. */
  async request(text: string, options: ImageRequestOptions): Promise<Availability> {
    const known = await this.availability(text, options);
    const isHeld = known.state === 'failed' && options.force !== true && Date.now() < known.retryAt;
    // One that a prune has taken by then is pulled again.
    const isReady = known.state === 'ready' && (await this.#takeReady(known.image, options)) !== undefined;
    if (isReady || isHeld) return known;
    // Also when another process pulls it: that one may die.
    const pull = this.#inBackground(text, options);
    return known.state === 'pulling' ? known : this.#begun(text, options, pull);
  }

  /**
   * Stores all images of an archive.
   * @param input a file's path, or a stream
   * @throws LoadIncompleteError where it holds several, and not all can be stored
   */
  async load(input: ArchiveInput, options: LoadOptions): Promise<PulledImage[]> {
    const request = this.#request(options);
    const source = input.kind === 'file' ? `archive:${absolutePath(input.path)}` : 'archive:-';
    const pullId = randomUUID();
    const platform = formatPlatform(request.platform);
    const namesFor = (ofSource: readonly string[]) => request.names ?? ofSource;
    const failures = new ImageFailures(request.signal);
    const load = async () => {
      // Its id for its terms: a stream is read once, so nobody can share it.
      const { metadata } = this.#needs;
      const liveness = this.#needs.liveness.another();
      await announcing(liveness, () =>
        metadata.announcePull(
          { pull: pullId, source, platform, terms: pullId, process: liveness.identity },
          liveness.isAlive,
        ),
      );
      const context = { pullId, signal: request.signal, namesFor, liveness, failures };
      return this.#runner.run(context, source, request, openingArchive(this.#needs, input, request.platform));
    };
    const images = await orAborted(this.#track(load()), request.signal);
    const loaded = await Promise.all(images.map((image) => this.#loaded(image, namesFor(image.ofSource), source)));
    const [failure] = failures.all;
    if (failure === undefined) return loaded;
    if (loaded.length + failures.all.length === 1) throw failure;
    throw new LoadIncompleteError(
      source.replace(/^archive:-$/, 'the archive').replace(/^archive:/, ''),
      loaded,
      failures.all,
    );
  }

  /** The pulls under way, in all processes, oldest first. */
  async pulls(): Promise<PullUnderWay[]> {
    const { metadata, liveness } = this.#needs;
    const running = await metadata.listPulls();
    return running.filter(({ process }) => liveness.isAlive(process)).map(pullUnderWay);
  }

  /** Resolves when nothing goes on in the background. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#background.values());
  }

  /** Resolves when no pull is under way. */
  async idle(): Promise<void> {
    while (this.#pulling.size > 0) await Promise.allSettled(this.#pulling);
    await this.#runner.idle();
  }

  #takeReady(image: ImageId, options: ImageRequestOptions): Promise<PulledImage | undefined> {
    return this.#stored.takeKnown(image, this.#request(options).names ?? []);
  }

  /** What it could not be given is told. A stream cannot be read again, so one that a prune has taken is a failure. */
  async #loaded(image: RunImage, names: readonly string[], source: string): Promise<PulledImage> {
    const isThere = (await this.#needs.metadata.getImage(image.id)) !== undefined;
    const loaded = isThere ? await this.#stored.name(image, names) : undefined;
    if (loaded === undefined) throw takenByPrune(image.id, 'it was loaded', source);
    return loaded;
  }

  /** @returns resolves when it has come to its end, whichever; how it failed is in the records, and has been told as an event */
  #inBackground(text: string, options: ImageRequestOptions): Promise<unknown> {
    const key = JSON.stringify([text, options]);
    const running = this.#background.get(key);
    if (running !== undefined) return running;
    const request = { ...this.#request(options), force: options.force ?? false, signal: this.#givenUp };
    const done = () => this.#background.delete(key);
    const pull = this.#pull(parseSource(text), request).then(done, done);
    this.#background.set(key, pull);
    return pull;
  }

  /** How a pull stands that has just been begun: the records tell as soon as it has been announced there. */
  async #begun(text: string, options: ImageRequestOptions, pull: Promise<unknown>): Promise<Availability> {
    const started = Date.now();
    let ended = false;
    void pull.then(() => {
      ended = true;
    });
    for (;;) {
      await setImmediate();
      const last = ended;
      const known = await this.availability(text, options);
      const isOld = known.state === 'missing' || (known.state === 'failed' && known.failedAt < started);
      if (!isOld || last) return known;
    }
  }

  /** Stores one image, once for all who ask for it at the same time. @throws what pullers and `unpackLayer` throw */
  async #pull(source: Source, request: PullRequest): Promise<PulledImage> {
    const absolute = withAbsolutePath(source);
    const { names, force = true, signal, platform } = request;
    const run: RunPull = (pullId, cancel, namesFor, liveness) =>
      // It may go on for a moment when its last caller has gone.
      this.#track(this.#run(absolute, request, { pullId, signal: cancel, namesFor, liveness }));
    return this.#track(this.#shared.get(this.#key(absolute, platform, request), { names, force, signal }, run));
  }

  async #run(source: Source, request: PullRequest, context: RunContext): Promise<LandedPull> {
    const { platform } = request;
    const prepare = () => this.#needs.pool.prepare(PREPARED_THREADS);
    // One whose name is known is most often up to date.
    const isNew =
      source.transport === 'docker' && (await this.#stored.findFor(source.reference, platform)) === undefined;
    if (isNew) prepare();
    const stored = async (digest: Digest) => {
      const found = await this.#stored.findOffered(digest, platform);
      if (found === undefined) prepare();
      return found;
    };
    const open = openingSource(this.#needs, source, { platform, stored, registry: request.registry ?? {} });
    const [image] = await this.#runner.run(context, formatSource(source), request, open);
    const { id, ofSource } = image as RunImage;
    return { image: id, names: ofSource };
  }

  /**
   * What is known of an image that may be stored, pulled just now, or missing. Asks the records and nobody else.
   * @param platform that a stored one has to fit. Default: whatever is stored will do
   */
  async #availability(source: Source, request: PullRequest, platform: Platform | undefined): Promise<Availability> {
    const key = this.#key(withAbsolutePath(source), request.platform, request);
    const { metadata, coolDown, liveness } = this.#needs;
    const stored = source.transport === 'docker' ? await this.#stored.findFor(source.reference, platform) : undefined;
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

  async #takeStored(
    source: Source,
    platform: string | undefined,
    names: readonly string[] = [],
  ): Promise<PulledImage | undefined> {
    if (source.transport !== 'docker') return undefined;
    return this.#stored.take(source.reference, platform === undefined ? undefined : parsePlatform(platform), names);
  }

  #request({ name, platform, registry, signal, maxImageBytes, force }: PullImageOptions): PullRequest {
    return {
      platform: wantedPlatform(platform),
      names: name === undefined ? undefined : [nameToGive(name)],
      registry: overridden(this.#registry, registry),
      maxImageBytes,
      force,
      signal,
    };
  }

  #key(source: Source, platform: Platform, { registry, maxImageBytes }: PullTerms): PullKey {
    return pullKey(source, platform, { registry, maxImageBytes: maxImageBytes ?? this.#needs.limits.maxImageBytes });
  }

  /** Keeps `idle` waiting for what is under way. */
  #track<T>(work: Promise<T>): Promise<T> {
    this.#pulling.add(work);
    const done = () => this.#pulling.delete(work);
    work.then(done, done);
    return work;
  }
}

function notStored(text: string, source: Source, platform: string | undefined): ProvisionerError {
  if (source.transport !== 'docker') {
    return new ProvisionerError('ERR_BAD_OPTION', `a source cannot be used without pulling it: ${text}`, {
      hint: 'name a stored image, or leave the pull policy never out',
    });
  }
  const which = platform === undefined ? '' : ` for ${platform}`;
  return new ProvisionerError('ERR_IMAGE_NOT_FOUND', `no image ${JSON.stringify(text)}${which} in this store`, {
    hint: '`provisioner images` lists what is here; leave the pull policy never out to get it',
    details: { image: text, ...(platform === undefined ? {} : { platform }) },
  });
}
