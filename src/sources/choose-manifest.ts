import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import type { Digest } from '../image/digest.js';
import { configPlatform } from '../image/image-config.js';
import { type Descriptor, parseImageConfig, parseIndex, parseManifest } from '../image/manifest.js';
import { mediaKind } from '../image/media-types.js';
import { normalisePlatform, type Platform, platformFit } from '../image/platform.js';
import type { BlobAccess } from './blob-access.js';
import { platformNotOffered } from './source-errors.js';

/** Indexes inside indexes; builders make two levels at most. */
const MAX_DEPTH = 8;
/** Documents read to choose, and their bytes: what bounds the work that a hostile index can cause. */
const MAX_DOCUMENTS = 10_000;
const MAX_BYTES = 256 * 1024 * 1024;

/** A manifest that the wanted machine can run. */
export interface Candidate {
  readonly descriptor: Descriptor;
  /** Where the walk began that led to it: its own digest, or that of an index. */
  readonly root: Digest;
  /** As `platformFit` has it. */
  readonly fit: number;
  /** What an index says about it; undefined when its own config was asked. */
  readonly platform: Platform | undefined;
}

/** What was seen on the way: the reason, should there be no candidate. */
export interface Survey {
  /** In the source's order. */
  readonly candidates: Candidate[];
  readonly offered: Platform[];
  /** Why entries that are no image were passed over. */
  readonly refusals: ProvisionerError[];
}

interface Walk {
  /** Indexes, each of which is read once. */
  readonly seen: Set<Digest>;
  readonly root: Digest;
}

/** Finds the manifests for one platform. One chooser serves one opening of a source: it counts what it reads. */
export class ManifestChooser {
  readonly #blobs: BlobAccess;
  readonly #wanted: Platform;
  readonly #platforms = new Map<Digest, Platform>();
  #documents = 0;
  #bytes = 0;

  constructor(blobs: BlobAccess, wanted: Platform) {
    this.#blobs = blobs;
    this.#wanted = wanted;
  }

  /**
   * Walks indexes, nested ones too, in order. Passed over are attestations, other platforms, and entries of unknown type:
   * the image-spec asks readers of an index to ignore what they do not know.
   * @see OCI image-spec, image-index.md, "manifests"
   */
  async survey(descriptors: readonly Descriptor[]): Promise<Survey> {
    const survey: Survey = { candidates: [], offered: [], refusals: [] };
    const seen = new Set<Digest>();
    for (const descriptor of descriptors) await this.#walk([descriptor], 0, survey, { seen, root: descriptor.digest });
    return survey;
  }

  /** The first of the best; the others that fit as well come after it. @throws as `noCandidate` */
  best(survey: Survey): readonly [Candidate, ...Candidate[]] {
    const top = survey.candidates.reduce((most, candidate) => Math.max(most, candidate.fit), 0);
    const [first, ...others] = survey.candidates.filter((candidate) => candidate.fit === top);
    if (first === undefined) throw this.noCandidate(survey);
    return [first, ...others];
  }

  noCandidate({ offered, refusals }: Survey): ProvisionerError {
    const [refusal] = refusals;
    if (offered.length === 0 && refusal !== undefined) return refusal;
    return platformNotOffered(this.#blobs.label, this.#wanted, offered);
  }

  async #walk(descriptors: readonly Descriptor[], depth: number, survey: Survey, walk: Walk): Promise<void> {
    for (const descriptor of descriptors) {
      const declared = declaredPlatform(descriptor);
      if (declared === 'none') continue;
      switch (mediaKind(descriptor.mediaType)) {
        case 'index':
          if (walk.seen.has(descriptor.digest)) break;
          walk.seen.add(descriptor.digest);
          if (declared !== undefined && platformFit(this.#wanted, declared) === 0) survey.offered.push(declared);
          else await this.#walk(await this.#readIndex(descriptor, depth), depth + 1, survey, walk);
          break;
        case 'manifest':
          await this.#consider(descriptor, declared, survey, walk.root);
          break;
        default:
          survey.refusals.push(unsupportedEntry(descriptor));
      }
    }
  }

  async #consider(descriptor: Descriptor, declared: Platform | undefined, survey: Survey, root: Digest): Promise<void> {
    try {
      const platform = declared ?? (await this.#readPlatform(descriptor));
      const fit = platformFit(this.#wanted, platform);
      survey.offered.push(platform);
      if (fit > 0) survey.candidates.push({ descriptor, root, fit, platform: declared });
    } catch (error) {
      // A chart or a signature beside the images: no reason to refuse the images.
      if (!isProvisionerError(error, 'ERR_UNSUPPORTED_MEDIA_TYPE')) throw error;
      survey.refusals.push(error);
    }
  }

  async #readIndex(descriptor: Descriptor, depth: number): Promise<readonly Descriptor[]> {
    if (depth >= MAX_DEPTH) {
      throw new ProvisionerError('ERR_LIMIT_EXCEEDED', `${this.#blobs.label} nests indexes deeper than ${MAX_DEPTH}`, {
        details: { limit: MAX_DEPTH },
      });
    }
    this.#count(descriptor);
    const text = await this.#blobs.readDocument(descriptor, 'the index');
    return parseIndex(text, `the index ${descriptor.digest}`).manifests;
  }

  /** Asks the config, because no index says what the manifest is for. */
  async #readPlatform(descriptor: Descriptor): Promise<Platform> {
    const known = this.#platforms.get(descriptor.digest);
    if (known !== undefined) return known;
    this.#count(descriptor);
    const text = await this.#blobs.readDocument(descriptor, 'the manifest');
    const manifest = parseManifest(text, `the manifest ${descriptor.digest}`);
    this.#count(manifest.config);
    const config = await this.#blobs.readDocument(manifest.config, 'the config');
    const subject = `the config ${manifest.config.digest}`;
    const platform = configPlatform(parseImageConfig(config, manifest.layers.length, subject));
    this.#platforms.set(descriptor.digest, platform);
    return platform;
  }

  #count(descriptor: Descriptor): void {
    this.#documents += 1;
    this.#bytes += descriptor.size;
    if (this.#documents <= MAX_DOCUMENTS && this.#bytes <= MAX_BYTES) return;
    throw new ProvisionerError('ERR_LIMIT_EXCEEDED', `${this.#blobs.label} has too many manifests to look at`, {
      hint: 'choose an image by writing :REF after the path',
      details: { documents: MAX_DOCUMENTS, bytes: MAX_BYTES },
    });
  }
}

/** `none` for what runs nowhere: the attestations that builders put beside images. */
function declaredPlatform({ platform, annotations }: Descriptor): Platform | 'none' | undefined {
  if (annotations?.['vnd.docker.reference.type'] === 'attestation-manifest') return 'none';
  if (!platform?.os || !platform.architecture) return undefined;
  const { os, architecture, variant } = platform;
  if (os === 'unknown' || architecture === 'unknown') return 'none';
  return normalisePlatform({ os, architecture, ...(variant ? { variant } : {}) });
}

function unsupportedEntry({ mediaType, digest }: Descriptor): ProvisionerError {
  const old = mediaKind(mediaType) === 'schema1';
  const what = old
    ? "a manifest of Docker's schema 1"
    : `of the unsupported type ${JSON.stringify(mediaType.slice(0, 200))}`;
  return new ProvisionerError('ERR_UNSUPPORTED_MEDIA_TYPE', `${digest} is ${what}`, {
    ...(old ? { hint: 'push the image again with a current tool' } : {}),
    details: { mediaType, digest },
  });
}
