import { createHash } from 'node:crypto';
import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { type DiffId, type Digest, type ImageId, isDigest } from '../../image/digest.js';
import { configPlatform } from '../../image/image-config.js';
import { type DockerSaveEntry, parseDockerSave, parseImageConfig } from '../../image/manifest.js';
import { OCI_CONFIG, OCI_LAYER_TAR, OCI_MANIFEST } from '../../image/media-types.js';
import { type Platform, platformFit } from '../../image/platform.js';
import { ImageFailures } from '../image-failures.js';
import { matchByName, type NamedEntry, namesOf, offeredNames } from '../image-names.js';
import { OfferBudget } from '../offer-budget.js';
import type { Choices, Offer, OfferedImage, OfferedLayer, Puller, PullOptions } from '../puller.js';
import { imageNotOffered, malformedSource, platformNotOffered, severalImages } from '../source-errors.js';
import { Archive } from './archive.js';
import type { ArchivePullerOptions } from './oci-archive.js';

/**
 * Images in an archive of `docker save`, and of the tools that write the same:
 *
 *   manifest.json             [{ Config, RepoTags, Layers }], one element for each image
 *   <hex>.json                a config; `blobs/sha256/<hex>` since Docker 25
 *   <any>/layer.tar           a layer; `blobs/sha256/<hex>` since Docker 25
 *
 * Such an archive has no manifests, and an image's id is the digest of one: we write it, always the same bytes for the same
 * archive. It names each layer by its diff ID, the only digest that is known before the layer is read, and by its stored size.
 * So the id differs from the one that the image has in a registry, whose manifest names compressed layers: those cannot be made
 * again from here. The layers themselves are shared all the same, because what names a stored layer is its diff ID.
 * @see Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format"
 */
export class DockerArchivePuller implements Puller {
  readonly #file: string;
  readonly #options: ArchivePullerOptions;

  constructor(file: string, options: ArchivePullerOptions) {
    this.#file = file;
    this.#options = options;
  }

  open(options: PullOptions): Promise<Offer> {
    const spool = { ...this.#options, signal: options.signal };
    return Archive.offer({ kind: 'file', path: this.#file }, spool, (archive) =>
      offerDockerArchive(archive, 'one', options),
    );
  }
}

interface SavedImage extends NamedEntry {
  readonly entry: DockerSaveEntry;
  /** In `manifest.json`, from 0. */
  readonly position: number;
}

/** @param wanted `one` picks by `options.reference`, or takes the only one; `all` takes every image for the platform */
export async function offerDockerArchive(
  archive: Archive,
  wanted: 'one' | 'all',
  options: PullOptions,
): Promise<Choices> {
  const saved = (await readSaved(archive)).map((entry, position) => ({ entry, position, ...namesOf(entry.RepoTags) }));
  const { reference, platform, signal } = options;
  const digest = digestIn(reference);
  const images = new Map<ImageId, OfferedImage>();
  const labels = new Map<ImageId, string>();
  const offered: Platform[] = [];
  const foreign: { readonly label: string; readonly platform: Platform }[] = [];
  const failures = new ImageFailures(signal);
  const budget = new OfferBudget(archive.label);
  for (const choice of choose(archive, saved, reference)) {
    throwIfAborted(signal);
    const label = choice.names[0] ?? `@${choice.position}`;
    let image: OfferedImage;
    try {
      image = await offerSaved(archive, choice);
    } catch (error) {
      // One that cannot be read is none of those that a digest means, unless its name says so.
      const isOther = digest !== undefined && claimedDigest(choice.entry.Config) !== digest;
      if ((wanted === 'one' && !isOther) || saved.length === 1) throw error;
      failures.add(label, error);
      continue;
    }
    if (digest !== undefined && image.id !== digest && image.configDigest !== digest) continue;
    budget.add(image);
    offered.push(image.platform);
    if (platformFit(platform, image.platform) === 0) {
      if (wanted === 'all') foreign.push({ label, platform: image.platform });
      continue;
    }
    // One image may stand here twice, under different names.
    const names = new Set([...(images.get(image.id)?.names ?? []), ...image.names]);
    images.set(image.id, { ...image, names: [...names] });
    labels.set(image.id, label);
  }
  if (images.size === 0 && digest !== undefined && offered.length === 0)
    throw imageNotOffered(archive.label, digest, offeredNames(saved));
  if (images.size === 0 && (wanted === 'one' || failures.all.length === 0))
    throw platformNotOffered(archive.label, platform, offered);
  // Told only beside images that are for this machine, or broken: else it is all that there is to tell.
  for (const one of foreign) failures.add(one.label, platformNotOffered(archive.label, platform, [one.platform]));
  if (wanted === 'one' && images.size > 1) throw severalImages(archive.label, labels);
  return { images: [...images.values()], failures: wanted === 'one' ? [] : failures.all };
}

/** What `manifest.json` says of each image. */
export async function readSaved(archive: Archive): Promise<DockerSaveEntry[]> {
  if (archive.has('manifest.json')) {
    const entries = parseDockerSave(await archive.readDocument('manifest.json'), `manifest.json of ${archive.label}`);
    if (entries.length === 0) throw malformedSource(archive.label, 'manifest.json names no image');
    return entries;
  }
  if (archive.has('repositories')) {
    throw new ProvisionerError('ERR_SOURCE_UNSUPPORTED', `${archive.label} was saved by a Docker older than 1.10`, {
      hint: 'load and save it again with a current Docker',
    });
  }
  const hint = 'it is an archive of an OCI layout; write oci-archive:FILE';
  throw malformedSource(archive.label, 'manifest.json is missing', archive.has('oci-layout') ? { hint } : {});
}

/** By a name. What a digest means, the configs tell: Docker calls that of a config the image id, and who has edited one mostly leaves it its name. */
function choose(archive: Archive, saved: readonly SavedImage[], reference: string | undefined): readonly SavedImage[] {
  if (reference === undefined || digestIn(reference) !== undefined) return saved;
  const matches = matchByName(saved, reference);
  if (matches.length === 0) throw imageNotOffered(archive.label, reference, offeredNames(saved));
  return matches;
}

/** `app@sha256:…` too: the digest says which image, whatever the source calls it. */
function digestIn(reference: string | undefined): Digest | undefined {
  const text = reference?.slice(reference.lastIndexOf('@') + 1);
  return text !== undefined && isDigest(text) ? text : undefined;
}

async function offerSaved(archive: Archive, { entry, names }: SavedImage): Promise<OfferedImage> {
  const configText = await archive.readDocument(entry.Config);
  const configDigest = sha256(configText);
  // Other names are only names: an image is what its config says, edited or not, and that says what its layers are.
  const claimed = promisedDigest(entry.Config);
  if (claimed !== undefined && claimed !== configDigest) {
    throw new ProvisionerError(
      'ERR_DIGEST_MISMATCH',
      `the config ${entry.Config} of ${archive.label} has the digest ${configDigest}`,
      {
        hint: 'the archive is damaged, or was edited; make it again',
        details: { expected: claimed, found: configDigest },
      },
    );
  }
  const config = parseImageConfig(configText, entry.Layers.length, `the config ${configDigest} of ${archive.label}`);
  const layers = entry.Layers.map((name, position): OfferedLayer => {
    const location = archive.find(name);
    // Stored as a plain tar or compressed, and nothing says which: the diff ID alone is known.
    return { diffId: config.diffIds[position] as DiffId, digest: undefined, size: location.size, location };
  });
  const manifest = writeManifest(configDigest, Buffer.byteLength(configText), layers);
  return {
    id: sha256(manifest) as ImageId,
    mediaType: OCI_MANIFEST,
    manifest,
    configDigest,
    config: configText,
    platform: configPlatform(config),
    layers,
    names,
  };
}

/** Deterministic: the order of the keys is the order written here. */
function writeManifest(configDigest: Digest, configSize: number, layers: readonly OfferedLayer[]): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, digest: configDigest, size: configSize },
    layers: layers.map(({ diffId, size }) => ({ mediaType: OCI_LAYER_TAR, digest: diffId, size })),
  });
}

/** The digest that a config's name states: `<hex>.json`, `blobs/sha256/<hex>`, `sha256:<hex>`. Some tools state none, and who edits a config mostly leaves its name. */
export function claimedDigest(name: string): Digest | undefined {
  const hex = /(?:^|\/|sha256:)([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
  return hex === undefined ? undefined : (`sha256:${hex}` as Digest);
}

/** The digest that a config has to have: that of a blob in an OCI layout, where the name is the address of these very bytes. @see OCI image-spec, image-layout.md, "Blobs" */
function promisedDigest(name: string): Digest | undefined {
  return /^(?:\.?\/)*blobs\/sha256\//.test(name) ? claimedDigest(name) : undefined;
}

function sha256(text: string): Digest {
  return `sha256:${createHash('sha256').update(text).digest('hex')}` as Digest;
}
