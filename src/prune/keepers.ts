import { unhurried } from '../base/unhurried.js';
import type { ImageId, LayerId } from '../image/digest.js';
import type { ContainerRecord, ImageSummary, LayerRecord, LeaseRecord } from '../metadata/metadata-manager.js';
import { pidOf } from '../system/locks/process-identity.js';

/** Why something stays. */
export type KeepReason =
  /** The caller of the prune asked for it. */
  | { readonly kind: 'excluded'; readonly pattern: string }
  | { readonly kind: 'pinned' }
  /** A rootfs of this container is made of it. */
  | { readonly kind: 'container'; readonly container: string; readonly owner: string }
  /** A pull under way needs it. */
  | { readonly kind: 'pull'; readonly pull: string; readonly pid: number; readonly since: number }
  /** A kept image holds this layer. */
  | { readonly kind: 'image'; readonly image: ImageId; readonly names: readonly string[] }
  /** It was used after the age that the policy gives. */
  | { readonly kind: 'recent'; readonly lastUsedAt: number }
  /** What stands on the store keeps it. */
  | { readonly kind: 'wing'; readonly wing: string; readonly reason: string }
  /** It fits into the bytes that the policy keeps. */
  | { readonly kind: 'budget' }
  /** Somebody took it up between the decision and the removal. */
  | { readonly kind: 'changed' }
  /** Its directory could not be taken away, so it is recorded still. */
  | { readonly kind: 'failed'; readonly path: string; readonly message: string };

/** The records that prune decides on. They need not be of one moment: what goes is looked at again when it goes. */
export interface StoreRecords {
  readonly images: readonly ImageSummary[];
  readonly layers: readonly LayerRecord[];
  readonly containers: readonly ContainerRecord[];
  /** Of living processes. */
  readonly leases: readonly LeaseRecord[];
}

/** Takes down what stays, and why. */
export interface Keep {
  image(id: ImageId, reason: KeepReason): void;
  layer(id: LayerId, reason: KeepReason): void;
}

/**
 * A rule by which images and layers stay. What stands on the store adds its own with `store.addKeeper`, and gives the reason as `{ kind: 'wing', … }`.
 *
 * It decides for who asks where it has been added. What must not go whoever prunes has a row in a section of the records too (`src/metadata/`), which points at an image, a
 * stack or a layer with a foreign key: that has the last word, in the transaction that removes.
 */
export interface Keeper {
  /** Gives others turns where there is much to look at. @param now milliseconds since the epoch */
  keepers(records: StoreRecords, now: number, keep: Keep): Promise<void> | void;
}

const PINS: Keeper = {
  async keepers({ images }, _now, keep) {
    for await (const { id, pinned } of unhurried(images)) if (pinned) keep.image(id, { kind: 'pinned' });
  },
};

/** A rootfs keeps its layers also when its image has been forgotten. */
const CONTAINERS: Keeper = {
  async keepers({ containers }, _now, keep) {
    for await (const { id: container, owner, rootfses } of unhurried(containers)) {
      const reason = { kind: 'container', container, owner } as const;
      for (const image of new Set(rootfses.map((rootfs) => rootfs.image))) keep.image(image, reason);
      for (const layer of new Set(rootfses.flatMap((rootfs) => rootfs.layers))) keep.layer(layer, reason);
    }
  },
};

const PULLS: Keeper = {
  keepers({ leases }, _now, keep) {
    for (const { pull, process, since, layers } of leases) {
      for (const layer of layers) keep.layer(layer, { kind: 'pull', pull, pid: pidOf(process), since });
    }
  },
};

/** What keeps images and layers whatever a caller and a policy say. */
export const STORE_KEEPERS: readonly Keeper[] = [PINS, CONTAINERS, PULLS];

/** @param age in milliseconds */
export function usedWithin(age: number): Keeper {
  return {
    async keepers({ images }, now, keep) {
      for await (const { id, lastUsedAt } of unhurried(images)) {
        if (Math.max(0, now - lastUsedAt) < age) keep.image(id, { kind: 'recent', lastUsedAt });
      }
    },
  };
}

/** @param patternFor tells the pattern that speaks for an image */
export function excludedBy(patternFor: (image: ImageSummary) => string | undefined): Keeper {
  return {
    async keepers({ images }, _now, keep) {
      for await (const image of unhurried(images)) {
        const pattern = patternFor(image);
        if (pattern !== undefined) keep.image(image.id, { kind: 'excluded', pattern });
      }
    },
  };
}

/** Reasons by what they keep, in the order in which they were given. */
export class Reasons<Id> {
  readonly #reasons = new Map<Id, KeepReason[]>();

  add(id: Id, reason: KeepReason): void {
    const earlier = this.#reasons.get(id);
    if (earlier === undefined) this.#reasons.set(id, [reason]);
    else earlier.push(reason);
  }

  has(id: Id): boolean {
    return this.#reasons.has(id);
  }

  get(id: Id): readonly KeepReason[] {
    return this.#reasons.get(id) ?? [];
  }

  [Symbol.iterator](): IterableIterator<[Id, readonly KeepReason[]]> {
    return this.#reasons.entries();
  }
}

/** What some rules keep, all together. The layers are those that are kept for themselves, not with their images. */
export interface Kept {
  readonly images: Reasons<ImageId>;
  readonly layers: Reasons<LayerId>;
}

export async function keptBy(keepers: readonly Keeper[], records: StoreRecords, now: number): Promise<Kept> {
  const kept: Kept = { images: new Reasons(), layers: new Reasons() };
  const keep: Keep = {
    image: (id, reason) => kept.images.add(id, reason),
    layer: (id, reason) => kept.layers.add(id, reason),
  };
  for (const keeper of keepers) await keeper.keepers(records, now, keep);
  return kept;
}

/** What keeps layers: the images that stay, and then what keeps the layers themselves. Gives others turns. */
export async function layerReasons(
  keptImages: readonly Pick<ImageSummary, 'id' | 'names' | 'layers'>[],
  kept: Reasons<LayerId>,
): Promise<Reasons<LayerId>> {
  const layers = new Reasons<LayerId>();
  for await (const { id: image, names, layers: ids } of unhurried(keptImages)) {
    for (const layer of new Set(ids)) layers.add(layer, { kind: 'image', image, names });
  }
  for await (const [layer, reasons] of unhurried(kept)) {
    for (const reason of reasons) layers.add(layer, reason);
  }
  return layers;
}
