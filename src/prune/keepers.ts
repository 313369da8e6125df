import { unhurried } from '../base/unhurried.js';
import type { ImageId, LayerId } from '../image/digest.js';
import type { ContainerRecord, ImageSummary, LayerRecord, LeaseRecord } from '../metadata/metadata-manager.js';

/** Why something stays. */
export type KeepReason =
  /** The caller of the prune asked for it. */
  | { readonly kind: 'excluded'; readonly pattern: string }
  | { readonly kind: 'pinned' }
  /** A rootfs of this container is made of it. */
  | { readonly kind: 'container'; readonly container: string; readonly owner: string }
  /** A pull under way needs it. */
  | { readonly kind: 'pull'; readonly pull: string; readonly process: string; readonly since: number }
  /** A kept image holds this layer. */
  | { readonly kind: 'image'; readonly image: ImageId; readonly names: readonly string[] }
  /** It was used after the age that the policy gives. */
  | { readonly kind: 'recent'; readonly lastUsedAt: number }
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

/** Collects reasons by what they keep. */
export class Keepers<Id> {
  readonly #reasons = new Map<Id, KeepReason[]>();

  add(id: Id, reason: KeepReason): void {
    const others = this.#reasons.get(id);
    if (others === undefined) this.#reasons.set(id, [reason]);
    else others.push(reason);
  }

  has(id: Id): boolean {
    return this.#reasons.has(id);
  }

  get(id: Id): readonly KeepReason[] {
    return this.#reasons.get(id) ?? [];
  }
}

/** What keeps images whatever the caller and the policy say: pins, and the rootfses made of them. Gives others turns. */
export async function imageKeepers({
  images,
  containers,
}: Pick<StoreRecords, 'images' | 'containers'>): Promise<Keepers<ImageId>> {
  const keepers = new Keepers<ImageId>();
  for await (const { id, pinned } of unhurried(images)) if (pinned) keepers.add(id, { kind: 'pinned' });
  for await (const { id: container, owner, rootfses } of unhurried(containers)) {
    for (const image of new Set(rootfses.map((rootfs) => rootfs.image))) {
      keepers.add(image, { kind: 'container', container, owner });
    }
  }
  return keepers;
}

/** What keeps layers: the images that stay, the rootfses made of them, and pulls under way. Gives others turns. */
export async function layerKeepers(
  { containers, leases }: Pick<StoreRecords, 'containers' | 'leases'>,
  keptImages: readonly Pick<ImageSummary, 'id' | 'names' | 'layers'>[],
): Promise<Keepers<LayerId>> {
  const keepers = new Keepers<LayerId>();
  for await (const { id: image, names, layers } of unhurried(keptImages)) {
    for (const layer of new Set(layers)) keepers.add(layer, { kind: 'image', image, names });
  }
  for await (const { id: container, owner, rootfses } of unhurried(containers)) {
    for (const layer of new Set(rootfses.flatMap((rootfs) => rootfs.layers))) {
      keepers.add(layer, { kind: 'container', container, owner });
    }
  }
  for (const { pull, process, since, layers } of leases) {
    for (const layer of layers) keepers.add(layer, { kind: 'pull', pull, process, since });
  }
  return keepers;
}
