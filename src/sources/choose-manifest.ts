import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import type { Digest } from '../image/digest.js';
import { configPlatform } from '../image/image-config.js';
import { type Descriptor, DOCUMENT_LIMIT, type Manifest, parseManifestOrIndex } from '../image/manifest.js';
import { isVague, mediaKind, OCI_MANIFEST } from '../image/media-types.js';
import { normalisePlatform, type Platform, platformFit } from '../image/platform.js';
import type { BlobAccess } from './blob-access.js';
import { readConfig } from './read-config.js';
import { malformedSource, platformNotOffered, printable } from './source-errors.js';

/** Indexes inside indexes; builders make two levels at most. */
const MAX_DEPTH = 8;
/** Documents read to choose, and their bytes: what bounds the work that a hostile index can cause. */
const MAX_DOCUMENTS = 10_000;
const MAX_BYTES = 256 * 1024 * 1024;

/** What is no image, or makes no sense, is no reason to refuse the images beside it. */
export const UNUSABLE = ['ERR_UNSUPPORTED_MEDIA_TYPE', 'ERR_SOURCE_MALFORMED'] as const;
/** Nor is what an index names and its source does not have, or not as it is described; what `index.json` or a tag names itself has to be there. */
export const UNUSABLE_IN_INDEX = [
  ...UNUSABLE,
  'ERR_BLOB_NOT_FOUND',
  'ERR_SOURCE_NOT_FOUND',
  'ERR_SIZE_MISMATCH',
  'ERR_LIMIT_EXCEEDED',
] as const;

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
  /** Manifests whose configs were asked. */
  readonly #asked = new Map<Digest, { readonly descriptor: Descriptor; readonly platform: Platform }>();
  #documents = 0;
  #bytes = 0;
  /** Ends the whole search, wherever it is. */
  #exhausted: ProvisionerError | undefined;

  constructor(blobs: BlobAccess, wanted: Platform) {
    this.#blobs = blobs;
    this.#wanted = wanted;
  }

  /**
   * Walks indexes, nested ones too, in order. Passed over are attestations, other platforms, entries of unknown type, and what makes no sense:
   * the image-spec asks readers of an index to ignore what they do not know.
   * @param failed told of each of these that cannot be looked at, which is then passed over. Default: that is thrown
   * @see OCI image-spec, image-index.md, "manifests"
   */
  async survey(
    descriptors: readonly Descriptor[],
    failed?: (error: unknown, descriptor: Descriptor) => void,
  ): Promise<Survey> {
    const survey: Survey = { candidates: [], offered: [], refusals: [] };
    const seen = new Set<Digest>();
    for (const descriptor of descriptors) {
      try {
        await this.#walk([descriptor], 0, survey, { seen, root: descriptor.digest });
      } catch (error) {
        if (failed === undefined || error === this.#exhausted) throw error;
        failed(error, descriptor);
      }
    }
    return survey;
  }

  /** All that fit, the best first; those that fit equally in the source's order. @throws as `noCandidate` */
  best(survey: Survey): readonly [Candidate, ...Candidate[]] {
    const [first, ...others] = survey.candidates.toSorted((left, right) => right.fit - left.fit);
    if (first === undefined) throw this.noCandidate(survey);
    return [first, ...others];
  }

  noCandidate({ offered, refusals }: Survey): ProvisionerError {
    const [refusal] = refusals;
    if (offered.length === 0 && refusal !== undefined) return refusal;
    return platformNotOffered(this.#blobs.label, this.#wanted, offered, refusal);
  }

  async #walk(
    descriptors: readonly (Descriptor | undefined)[],
    depth: number,
    survey: Survey,
    walk: Walk,
  ): Promise<void> {
    for (const descriptor of descriptors) {
      if (descriptor === undefined || walk.seen.has(descriptor.digest)) continue;
      const declared = declaredPlatform(descriptor);
      if (declared === 'none') continue;
      const kind = mediaKind(descriptor.mediaType);
      const refusal = unsupportedEntry(descriptor) ?? contradiction(descriptor, this.#wanted);
      if (refusal !== undefined) survey.refusals.push(refusal);
      else if (declared !== undefined && platformFit(this.#wanted, declared) === 0) survey.offered.push(declared);
      else if (declared !== undefined && kind === 'manifest') this.#consider(descriptor, declared, survey, walk, true);
      else await this.#open(descriptor, declared, depth, survey, walk);
    }
  }

  #consider(descriptor: Descriptor, platform: Platform, survey: Survey, { root }: Walk, isDeclared: boolean): void {
    const fit = platformFit(this.#wanted, platform);
    survey.offered.push(platform);
    if (fit > 0) survey.candidates.push({ descriptor, root, fit, platform: isDeclared ? platform : undefined });
  }

  /** Reads what may be an index, and a manifest of which no index says what it is for. */
  async #open(
    descriptor: Descriptor,
    declared: Platform | undefined,
    depth: number,
    survey: Survey,
    walk: Walk,
  ): Promise<void> {
    const asked = declared === undefined ? this.#asked.get(descriptor.digest) : undefined;
    if (asked !== undefined) return this.#consider(asked.descriptor, asked.platform, survey, walk, false);
    try {
      const expected = mediaKind(descriptor.mediaType) === 'index' ? 'index' : 'manifest';
      this.#count(descriptor);
      const text = await this.#blobs.readDocument(descriptor, `the ${expected}`);
      const document = parseManifestOrIndex(text, expected, `the ${expected} ${descriptor.digest}`);
      if (document.kind === 'manifest') {
        const found = withOwnType(descriptor, document.manifest);
        const platform = declared ?? (await this.#askConfig(found, document.manifest));
        return this.#consider(found, platform, survey, walk, declared !== undefined);
      }
      walk.seen.add(descriptor.digest);
      if (depth >= MAX_DEPTH) throw this.#tooDeep();
      if (document.index.fault !== undefined) survey.refusals.push(document.index.fault);
      await this.#walk(document.index.manifests, depth + 1, survey, walk);
    } catch (error) {
      const codes = depth > 0 ? UNUSABLE_IN_INDEX : UNUSABLE;
      if (error === this.#exhausted || !isProvisionerError(error, ...codes)) throw error;
      survey.refusals.push(error);
    }
  }

  async #askConfig(descriptor: Descriptor, manifest: Manifest): Promise<Platform> {
    this.#count(manifest.config);
    const { config } = await readConfig(this.#blobs, manifest);
    const platform = configPlatform(config);
    this.#asked.set(descriptor.digest, { descriptor, platform });
    return platform;
  }

  #tooDeep(): ProvisionerError {
    return new ProvisionerError('ERR_LIMIT_EXCEEDED', `${this.#blobs.label} nests indexes deeper than ${MAX_DEPTH}`, {
      details: { limit: MAX_DEPTH },
    });
  }

  #count(descriptor: Descriptor): void {
    this.#documents += 1;
    // What is larger than a document may be is not read.
    if (descriptor.size <= DOCUMENT_LIMIT) this.#bytes += descriptor.size;
    if (this.#documents <= MAX_DOCUMENTS && this.#bytes <= MAX_BYTES) return;
    const message = `${this.#blobs.label} has too many manifests to look at`;
    this.#exhausted = new ProvisionerError('ERR_LIMIT_EXCEEDED', message, {
      hint: 'choose an image by writing :REF after the path',
      details: { documents: MAX_DOCUMENTS, bytes: MAX_BYTES },
    });
    throw this.#exhausted;
  }
}

/** `none` for what runs nowhere: the attestations that builders put beside images. */
function declaredPlatform({ platform, annotations }: Descriptor): Platform | 'none' | undefined {
  if (annotations?.['vnd.docker.reference.type'] === 'attestation-manifest') return 'none';
  if (platform?.os === 'unknown' || platform?.architecture === 'unknown') return 'none';
  if (!platform?.os || !platform.architecture) return undefined;
  const { os, architecture, variant } = platform;
  return normalisePlatform({ os, architecture, ...(variant ? { variant } : {}) });
}

/** Half a platform says enough when that half is not ours; else the config is asked. */
function contradiction({ platform, digest }: Descriptor, wanted: Platform): ProvisionerError | undefined {
  const { os, architecture } = platform ?? {};
  if ((!os && !architecture) || (os && architecture)) return undefined;
  const filled = { ...wanted, ...(os ? { os } : {}), ...(architecture ? { architecture } : {}) };
  if (platformFit(wanted, filled) > 0) return undefined;
  const problem = `its platform states no ${os ? 'architecture' : 'os'}, and is for ${printable(String(os || architecture))}`;
  return malformedSource(`the entry ${digest} of an index`, problem);
}

/** A descriptor that says nothing, or something else, of what it names has the manifest's own word instead. */
function withOwnType(descriptor: Descriptor, { mediaType }: Manifest): Descriptor {
  if (mediaKind(descriptor.mediaType) === 'manifest') return descriptor;
  return { ...descriptor, mediaType: mediaKind(mediaType) === 'manifest' ? mediaType : OCI_MANIFEST };
}

function unsupportedEntry({ mediaType, digest, size }: Descriptor): ProvisionerError | undefined {
  const kind = mediaKind(mediaType);
  if (kind === 'index' || kind === 'manifest') return undefined;
  // What is too large for a document and says nothing of itself is something else.
  if (isVague(mediaType) && size <= DOCUMENT_LIMIT) return undefined;
  const old = kind === 'schema1';
  const what = old
    ? "a manifest of Docker's schema 1"
    : `of the unsupported type ${JSON.stringify(mediaType.slice(0, 200))}`;
  return new ProvisionerError('ERR_UNSUPPORTED_MEDIA_TYPE', `${digest} is ${what}`, {
    ...(old ? { hint: 'push the image again with a current tool' } : {}),
    details: { mediaType, digest },
  });
}
