import type { LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';

/**
 * Layers, and who is at one.
 *
 * A **layer** is recorded after its directory stands under `layers/`, so a recorded layer can be used. Before it is
 * unpacked its id is **claimed**, so that one process unpacks it and the others wait; a claim of a dead process counts for
 * nothing. A claim keeps no layer: what it names is not recorded yet, or not any more.
 */
export interface LayerRecords {
  getLayer(id: LayerId): Promise<LayerRecord | undefined>;
  /** Those of `ids` that are not recorded, in the order given, each once. */
  missingLayers(ids: readonly LayerId[]): Promise<LayerId[]>;
  /** Records layers in one transaction, and gives their claims back. One that is recorded already stays as it is. */
  putLayers(layers: readonly LayerRecord[]): Promise<void>;
  /** Sorted by id. Gives others a turn on the way when there are many. */
  listLayers(): Promise<LayerRecord[]>;
  /** Corrects what a layer takes, and what is kept of its archive. Harmless when it is not recorded. */
  changeLayer(id: LayerId, change: LayerChange): Promise<void>;
  /**
   * Asks for the right to unpack a layer.
   * @param isAlive tells whether the process that holds an older claim still runs
   * @returns `claimed` (ours now; also when it was ours before), `recorded` (no need: the layer is there), or the process that is at it
   */
  claimLayer(
    id: LayerId,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<LayerClaim>;
  /** Gives claims back, all of them when none is named, which is then no single transaction. Harmless when `process` does not hold them. */
  releaseLayerClaims(process: ProcessIdentity, ids?: readonly LayerId[]): Promise<void>;
  /** Gives back the claims of dead processes. They count for nothing, but nobody else would ever take them away. */
  dropDeadClaims(isAlive: (process: ProcessIdentity) => boolean): Promise<void>;
}

export interface LayerRecord {
  readonly id: LayerId;
  /** Disk use of the layer's directory in bytes, as `du` counts it. */
  readonly bytes: number;
  /** Files, directories and whatever else the archive named. */
  readonly entries: number;
  /** The layer hides everything below it: the layers below it stay out of an overlay mount. */
  readonly opaqueRoot: boolean;
  /** The layer holds whiteouts or opaque directories, so it cannot be shown without a backend that obeys them. */
  readonly whiteouts: boolean;
  /** The archive has an entry for the root directory itself, which so gets the layer's attributes. */
  readonly describesRoot: boolean;
  readonly tar: TarState;
  /** Of the disk use, the size of the layer's tar record. */
  readonly tarBytes: number;
}

/** What can be corrected of a layer. */
export type LayerChange = Partial<Pick<LayerRecord, 'bytes' | 'tar' | 'tarBytes'>>;

/**
 * Whether what is needed to make a layer's archive again was kept, and why not. `older`: the layer was stored before there were tar records. `off`: whoever stored it did not
 * want one. `too-large`: it would have been a second copy of the layer. `seam`: it is of no archive, but of this store.
 */
export type TarState = 'kept' | 'older' | 'off' | 'too-large' | 'seam';

export type LayerClaim =
  | { readonly state: 'claimed' | 'recorded' }
  | { readonly state: 'busy'; readonly holder: ProcessIdentity };
