import { ProvisionerError } from '../base/errors.js';
import { parsePlatform } from '../image/platform.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import type { OpenSourceOptions } from '../sources/open-source.js';
import type { Offer } from '../sources/puller.js';
import { parseSource } from '../sources/source.js';

/** What a source is called that `load` has read: an archive's path, or `-` for a stream. */
const LOADED = /^archive:(.*)$/s;

export interface ReopenOptions extends OpenSourceOptions {
  readonly signal: AbortSignal;
}

/**
 * Opens the source that a stored image came from once more.
 * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND` when it is gone, and whatever opening a source may throw
 */
export async function reopenSource(image: ImageRecord, options: ReopenOptions): Promise<Offer> {
  const platform = parsePlatform(image.platform);
  const path = LOADED.exec(image.source)?.[1];
  if (path === '-') {
    throw new ProvisionerError(
      'ERR_SOURCE_NOT_FOUND',
      `image ${image.id} came from a stream, which cannot be read again`,
      {
        hint: 'load the archive once more from a file',
        details: { image: image.id },
      },
    );
  }
  if (path !== undefined) {
    const { openArchive } = await import('../sources/archives/open-archive.js');
    return openArchive({ kind: 'file', path }, { ...options, platform });
  }
  const { openSource } = await import('../sources/open-source.js');
  return openSource(parseSource(image.source), options).open({ platform, signal: options.signal });
}
