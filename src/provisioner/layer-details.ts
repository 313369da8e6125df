import { diffIdsOf } from '../check/check-images.js';
import type { LayerId } from '../image/digest.js';
import { whyNotExportable } from '../layer-store/layer-export.js';
import type { ImageRecord, LayerRecord, TarState } from '../metadata/metadata-manager.js';

/** One of an image's layers. */
export interface LayerDetails {
  readonly id: LayerId;
  /** Disk use in bytes, its tar record included. */
  readonly bytes: number;
  readonly entries: number;
  /** Whether its archive can be made again: see `layerTar`. */
  readonly exportable: boolean;
  /** Why not, as a clause; undefined when it can. Messages may change: `tar` is for programs. */
  readonly notExportable: string | undefined;
  readonly tar: TarState;
  /** Size of its tar record, as of a file. */
  readonly tarBytes: number;
}

/** @param layers the image's stack, from the bottom up */
export function layerDetailsOf(image: ImageRecord, layers: readonly LayerRecord[]): LayerDetails[] {
  const own = diffIdsOf(image);
  return layers.map((layer) => {
    const { id, bytes, entries, tarBytes } = layer;
    // A release of before format 2 has not noted which are seams.
    const isSeam = layer.tar === 'older' && own !== undefined && !own.includes(id);
    const tar = isSeam ? 'seam' : layer.tar;
    const notExportable = whyNotExportable({ tar });
    return { id, bytes, entries, exportable: notExportable === undefined, notExportable, tar, tarBytes };
  });
}
