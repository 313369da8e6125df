import type { MemoryImages } from '../images/memory-images.js';
import type { MemoryLayers } from '../layers/memory-layers.js';
import type { MemoryLife } from '../memory/memory-life.js';
import type { MemoryRootfses } from '../rootfses/memory-rootfses.js';
import type { RecordCounts, RecordsGap, RecordsState } from './records-state.js';

interface Counted {
  readonly images: MemoryImages;
  readonly layers: MemoryLayers;
  readonly rootfses: MemoryRootfses;
}

/** What the records in memory say of themselves: they are always in their place, and sound. */
export class MemoryState implements RecordsState {
  readonly #life: MemoryLife;
  readonly #counted: Counted;
  #gap: RecordsGap | undefined;

  constructor(life: MemoryLife, counted: Counted) {
    this.#life = life;
    this.#counted = counted;
  }

  async recordsGap(): Promise<RecordsGap | undefined> {
    this.#life.requireOpen();
    return this.#gap;
  }

  async setRecordsGap(gap: RecordsGap | undefined): Promise<void> {
    this.#life.requireOpen();
    this.#gap = gap;
  }

  requireInPlace(): void {
    this.#life.requireOpen();
  }

  async count(): Promise<RecordCounts> {
    this.#life.requireOpen();
    const { images, layers, rootfses } = this.#counted;
    return { images: images.size, layers: layers.size, containers: rootfses.containers };
  }

  async verify(): Promise<string[]> {
    this.#life.requireOpen();
    return [];
  }
}
