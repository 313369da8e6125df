import { setImmediate } from 'node:timers/promises';
import { overridden } from '../base/check-options.js';
import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import { parsePlatform, platformFit } from '../image/platform.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import type { Availability } from '../pulls/availability.js';
import type { ImageStore, PulledImage, PullRequest } from '../pulls/image-store.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import { parseSource, type Source } from '../sources/source.js';
import { nameToGive, tryImageName, wantedPlatform } from './image-names.js';
import type { ImageRequestOptions, ProvisionOptions, PullImageOptions } from './options.js';
import { requireRegistryFiles } from './require-registry-files.js';

/** What is asked for images: by whoever waits for one, and by whoever does not. */
export class ImageRequests {
  readonly #images: ImageStore;
  readonly #find: (text: string) => Promise<ImageRecord>;
  readonly #registry: RegistryOptions;
  /** Pulls in the background, by what was asked for. */
  readonly #background = new Map<string, Promise<unknown>>();
  readonly #givenUp: AbortSignal;

  /**
   * @param find as `findImage` @param registry how registries are reached where a call does not say
   * @param givenUp aborts when nothing shall go on in the background any more
   */
  constructor(
    images: ImageStore,
    find: (text: string) => Promise<ImageRecord>,
    registry: RegistryOptions | undefined,
    givenUp: AbortSignal,
  ) {
    this.#images = images;
    this.#find = find;
    this.#registry = registry ?? {};
    this.#givenUp = givenUp;
  }

  /** An image, pulled as the policy says. @param text a source */
  async pull(text: string, options: PullImageOptions): Promise<PulledImage> {
    const policy = options.pullPolicy ?? 'always';
    const source = parseSource(text);
    const request = this.#request(options);
    await requireRegistryFiles(options.registry);
    const stored = policy === 'always' ? undefined : await this.#findStored(source, options.platform);
    if (stored !== undefined) {
      await this.#images.use(stored.id);
      return this.#images.name(stored, request.names ?? []);
    }
    if (policy === 'never') throw notStored(text, source, options.platform);
    return this.#images.pull(source, request);
  }

  /** The image for a container. @param text a name, a digest, the first digits of one, or a source */
  async resolve(
    text: string,
    options: ProvisionOptions,
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
      const found = await this.#find(name);
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
    return this.#images.availability(parseSource(text), this.#request(options), fitting);
  }

  /** Sees to it that an image will be there, and tells how it stands now. */
  async request(text: string, options: ImageRequestOptions): Promise<Availability> {
    const known = await this.availability(text, options);
    const isHeld = known.state === 'failed' && options.force !== true && Date.now() < known.retryAt;
    if (known.state === 'ready') await this.#images.use(known.image);
    if (known.state === 'ready' || isHeld) return known;
    // Also when another process pulls it: that one may die.
    const pull = this.#inBackground(text, options);
    return known.state === 'pulling' ? known : this.#begun(text, options, pull);
  }

  /** Resolves when nothing goes on in the background. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#background.values());
  }

  /** @returns resolves when it has come to its end, whichever; how it failed is in the records, and has been told as an event */
  #inBackground(text: string, options: ImageRequestOptions): Promise<unknown> {
    const key = JSON.stringify([text, options]);
    const running = this.#background.get(key);
    if (running !== undefined) return running;
    const request = { ...this.#request(options), force: options.force ?? false, signal: this.#givenUp };
    const done = () => this.#background.delete(key);
    const pull = this.#images.pull(parseSource(text), request).then(done, done);
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

  async #findStored(source: Source, platform: string | undefined): Promise<ImageRecord | undefined> {
    if (source.transport !== 'docker') return undefined;
    return this.#images.findFor(source.reference, platform === undefined ? undefined : parsePlatform(platform));
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
