import { isProvisionerError } from '../base/errors.js';
import type { DiffId, ImageId } from '../image/digest.js';
import { configPlatform } from '../image/image-config.js';
import { parseManifest } from '../image/manifest.js';
import type { BlobAccess } from './blob-access.js';
import { type Candidate, UNUSABLE, UNUSABLE_IN_INDEX } from './choose-manifest.js';
import type { OfferedImage, OfferedLayer } from './puller.js';
import { readConfig } from './read-config.js';
import { malformedSource } from './source-errors.js';

/** Reads a chosen manifest and its config, and finds its layers. */
export async function offerImage(
  blobs: BlobAccess,
  { descriptor, platform: declared }: Candidate,
  names: readonly string[],
): Promise<OfferedImage> {
  const manifestText = await blobs.readDocument(descriptor, 'the manifest');
  const manifest = parseManifest(manifestText, `the manifest ${descriptor.digest}`);
  const { text: configText, config } = await readConfig(blobs, manifest);

  const layers: OfferedLayer[] = [];
  for (const [position, layer] of manifest.layers.entries()) {
    const diffId = config.diffIds[position];
    if (diffId === undefined)
      throw malformedSource(`the config ${manifest.config.digest}`, `rootfs.diff_ids[${position}]: it is missing`);
    const location = await blobs.locateLayer(layer);
    layers.push({ diffId: diffId as DiffId, digest: layer.digest, size: layer.size, location });
  }
  return {
    id: descriptor.digest as ImageId,
    mediaType: descriptor.mediaType,
    manifest: manifestText,
    configDigest: manifest.config.digest,
    config: configText,
    platform: configPlatform(config, declared),
    layers,
    names,
  };
}

/** Candidates that are opened to find one that is an image. */
const TRIES = 16;

/**
 * The first of these that is an image: an index may state the platform of what is none, or makes no sense.
 * @throws what `offer` threw for the first one, when none of them is
 */
export async function offerFirst<Result>(
  candidates: readonly [Candidate, ...Candidate[]],
  offer: (candidate: Candidate) => Promise<Result>,
): Promise<Result> {
  const [{ fit }] = candidates;
  const tried = candidates.slice(0, TRIES);
  let refusal: unknown;
  for (const [index, candidate] of tried.entries()) {
    try {
      return await offer(candidate);
    } catch (error) {
      const isListed = candidate.root !== candidate.descriptor.digest;
      if (!isProvisionerError(error, ...(isListed ? UNUSABLE_IN_INDEX : UNUSABLE))) throw error;
      refusal ??= error;
      // What is not there is passed over for what is as good alone.
      if (!isProvisionerError(error, ...UNUSABLE) && tried[index + 1]?.fit !== fit) throw refusal;
    }
  }
  throw refusal;
}
