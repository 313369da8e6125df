import { ProvisionerError } from '../base/errors.js';
import type { OfferedImage } from './puller.js';

/**
 * Characters of documents in one offer, which is held in memory. A thousand ordinary images have ten million; a small archive
 * whose many manifests share one large config would otherwise take all memory there is.
 */
const MAX_CHARACTERS = 64 * 1024 * 1024;
/** What an offered layer takes, roughly. */
const LAYER_CHARACTERS = 512;

/** Keeps the images of one offer within bounds. */
export class OfferBudget {
  readonly #label: string;
  #left = MAX_CHARACTERS;

  constructor(label: string) {
    this.#label = label;
  }

  /** @throws ProvisionerError `ERR_LIMIT_EXCEEDED` */
  add({ manifest, config, layers }: OfferedImage): void {
    this.#left -= manifest.length + config.length + layers.length * LAYER_CHARACTERS;
    if (this.#left >= 0) return;
    throw new ProvisionerError('ERR_LIMIT_EXCEEDED', `the images of ${this.#label} are too many to open at once`, {
      hint: 'choose one by writing :REF after the path',
      details: { limit: MAX_CHARACTERS },
    });
  }
}
