import { namesOf } from '../image-names.js';
import type { Offer, OfferedImage, PullOptions } from '../puller.js';
import { Archive } from './archive.js';
import type { ArchiveInput, SpoolOptions } from './archive-spool.js';
import { claimedDigest, offerDockerArchive, readSaved } from './docker-archive.js';
import { offerOciArchive } from './oci-archive.js';

/**
 * Opens an archive for loading: all of its images for one platform, with their names, whichever kind of archive it is.
 * Docker writes both kinds into one file since version 25; its OCI side is read, because that one has manifests and digests.
 * @param options.reference picks some of the images. Default: all
 * @throws what the pullers of the two kinds throw
 */
export function openArchive(input: ArchiveInput, options: PullOptions & SpoolOptions): Promise<Offer> {
  return Archive.offer(input, options, async (archive) => {
    if (!archive.has('oci-layout')) return await offerDockerArchive(archive, 'all', options);
    const choices = await offerOciArchive(archive, 'all', options);
    if (!archive.has('manifest.json')) return choices;
    return { ...choices, images: addSavedNames(choices.images, await savedNames(archive)) };
  });
}

/** An image under several tags has them all in `manifest.json`, where the index may have but one. */
async function savedNames(archive: Archive): Promise<Map<string, readonly string[]>> {
  const names = new Map<string, readonly string[]>();
  for (const { Config, RepoTags } of await readSaved(archive)) {
    const digest = claimedDigest(Config);
    if (digest !== undefined) names.set(digest, [...(names.get(digest) ?? []), ...namesOf(RepoTags).names]);
  }
  return names;
}

function addSavedNames(images: readonly OfferedImage[], saved: ReadonlyMap<string, readonly string[]>): OfferedImage[] {
  return images.map((image) => ({
    ...image,
    names: [...new Set([...image.names, ...(saved.get(image.configDigest) ?? [])])],
  }));
}
