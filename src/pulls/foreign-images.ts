import type { ProvisionerEmitter } from '../events.js';
import { formatPlatform, machinePlatform, parsePlatform, platformFit } from '../image/platform.js';
import type { ImageRecord, MetadataManager, Naming } from '../metadata/metadata-manager.js';

const MACHINE = formatPlatform(machinePlatform());

/** Whether an image is for another platform than this machine's. @param platform as its record has it */
function isForeign(platform: string): boolean {
  return platform !== MACHINE && platformFit(machinePlatform(), parsePlatform(platform)) === 0;
}

/**
 * An image for another platform leaves a name to the image that has it, unless that one is for the same platform: who says `app` means what runs here, and if nothing does, what
 * was got first. It can be had by its digest, and by the name together with its platform.
 */
export function namingOf({ platform }: Pick<ImageRecord, 'platform'>): Naming {
  return isForeign(platform) ? 'own platform' : 'any';
}

/**
 * Gives names to a stored image, as far as it may take them, and tells which it may not.
 * @returns its record as it is then; undefined when it is gone again
 * @throws ProvisionerError `ERR_IMAGE_NOT_FOUND` when it is
 */
export async function giveNames(
  { metadata, events }: { readonly metadata: MetadataManager; readonly events: ProvisionerEmitter },
  image: ImageRecord,
  names: readonly string[],
): Promise<ImageRecord | undefined> {
  const missing = names.filter((name) => !image.names.includes(name));
  if (missing.length === 0) return image;
  for (const name of missing) await metadata.addName(name, image.id, namingOf(image));
  const named = await metadata.getImage(image.id);
  if (named !== undefined && isForeign(named.platform)) await tellLeft(events, metadata, named, missing);
  return named;
}

async function tellLeft(
  events: ProvisionerEmitter,
  metadata: MetadataManager,
  { id, platform, names }: ImageRecord,
  wanted: readonly string[],
): Promise<void> {
  for (const name of wanted) {
    const holder = names.includes(name) ? undefined : await metadata.getImageByName(name);
    if (holder === undefined) continue;
    events.emit('warning', {
      code: 'NAME_NOT_GIVEN',
      message: `the image for ${platform} is stored as ${id}; the name ${name} stays with the image for ${holder.platform}`,
      details: { image: id, platform, name, holder: holder.id },
    });
  }
}

/** Says that a root filesystem was made of an image whose programs this machine does not run by itself. */
export function warnOfForeign(events: ProvisionerEmitter, { id, platform }: ImageRecord, containerId: string): void {
  if (!isForeign(platform)) return;
  events.emit('warning', {
    code: 'FOREIGN_PLATFORM',
    message: `the image of container ${containerId} is for ${platform}, and this machine is ${MACHINE}: its programs run here only where something emulates that`,
    details: { containerId, image: id, platform, machine: MACHINE },
  });
}
