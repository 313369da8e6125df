import { createHash } from 'node:crypto';
import type { LayerId } from '../image/digest.js';

/**
 * What a seam holds. `both` was made by earlier versions, for a layer with links; it is known so that it can be healed.
 * @see makeSeam
 */
export type SeamKind = 'directories' | 'links' | 'both';

/** The seams that may lie right above a layer, and what each holds. */
export type LayerSeams = ReadonlyMap<LayerId, SeamKind>;

/** Change with the way seams are made. The first is that of layers without links, and was that of all. */
const PLAIN = 'seam 1';
const BESIDE_LINKS = 'seam 2';
const LINKS = 'links 2';
/** Of earlier versions, which left out the names that a file had beside the one that was linked to. */
const FEWER_LINKS = 'links 1';

/**
 * Names seams for one layer after the other, bottom first. A seam depends on the layers up to its own, so they name it. What was hashed for a layer is not hashed
 * again for the next one.
 */
export class SeamIds {
  readonly #hashes = new Map(
    [PLAIN, BESIDE_LINKS, LINKS, FEWER_LINKS].map((name) => [name, createHash('sha256').update(name)]),
  );

  /** Goes on to the next layer. */
  add(layer: LayerId): void {
    for (const hash of this.#hashes.values()) hash.update(`\n${layer}`);
  }

  /** The seam with the directories of the layer added last. */
  directories(hasLinks: boolean): LayerId {
    return this.#id(hasLinks ? BESIDE_LINKS : PLAIN);
  }

  /** The seam with the links of that layer, and of those below it. */
  links(): LayerId {
    return this.#id(LINKS);
  }

  /** All that may lie right above that layer. */
  all(hasLinks: boolean): LayerSeams {
    return new Map([
      [this.#id(PLAIN), hasLinks ? 'both' : 'directories'],
      [this.#id(BESIDE_LINKS), 'directories'],
      [this.#id(LINKS), 'links'],
      [this.#id(FEWER_LINKS), 'links'],
    ]);
  }

  #id(name: string): LayerId {
    return `sha256:${this.#hashes.get(name)?.copy().digest('hex')}`;
  }
}
