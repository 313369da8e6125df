import type { DiffId, ImageId } from '../image/digest.js';
import { configPlatform, type ImageConfig } from '../image/image-config.js';
import { parseImageConfig, parseManifest } from '../image/manifest.js';
import type { Platform } from '../image/platform.js';
import type { BlobAccess } from './blob-access.js';
import type { Candidate } from './choose-manifest.js';
import type { OfferedImage, OfferedLayer } from './puller.js';
import { malformedSource } from './source-errors.js';

/** Reads a chosen manifest and its config, and finds its layers. */
export async function offerImage(
  blobs: BlobAccess,
  { descriptor, platform: declared }: Candidate,
  names: readonly string[],
): Promise<OfferedImage> {
  const manifestText = await blobs.readDocument(descriptor, 'the manifest');
  const manifest = parseManifest(manifestText, `the manifest ${descriptor.digest}`);
  const configText = await blobs.readDocument(manifest.config, 'the config');
  const subject = `the config ${manifest.config.digest}`;
  const config = parseImageConfig(configText, manifest.layers.length, subject);

  const layers: OfferedLayer[] = [];
  for (const [position, layer] of manifest.layers.entries()) {
    const diffId = config.diffIds[position];
    if (diffId === undefined) throw malformedSource(subject, `rootfs.diff_ids[${position}]: it is missing`);
    const location = await blobs.locateLayer(layer);
    layers.push({ diffId: diffId as DiffId, digest: layer.digest, size: layer.size, location });
  }
  return {
    id: descriptor.digest as ImageId,
    mediaType: descriptor.mediaType,
    manifest: manifestText,
    configDigest: manifest.config.digest,
    config: configText,
    platform: statedPlatform(config, declared),
    layers,
    names,
  };
}

/**
 * What the config says. Configs often leave out the variant that their index states; without it, ARM v6 code would pass for v7.
 */
function statedPlatform(config: ImageConfig, declared: Platform | undefined): Platform {
  const stated = configPlatform(config);
  if (config.variant || declared === undefined) return stated;
  return stated.os === declared.os && stated.architecture === declared.architecture ? declared : stated;
}
