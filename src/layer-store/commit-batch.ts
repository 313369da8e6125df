/**
 * Publishes the layers of one pull together, so that the disk is synced once for all of them: each layer that is unpacked arrives and
 * waits; when every layer of the batch has arrived or left, `commit` runs once for those that arrived.
 */
export class CommitBatch<Staged> {
  readonly #commit: (staged: readonly Staged[]) => Promise<void>;
  readonly #arrived: Staged[] = [];
  readonly #committed: Promise<void>;
  #awaited: number;
  #start: () => void = () => {};

  /** @param size layers that will arrive or leave */
  constructor(size: number, commit: (staged: readonly Staged[]) => Promise<void>) {
    this.#awaited = size;
    this.#commit = commit;
    this.#committed = new Promise<void>((resolve) => {
      this.#start = resolve;
    }).then(() => this.#commit(this.#arrived));
    // When all have left, nobody waits for it.
    this.#committed.catch(() => {});
  }

  /** Resolves when the layer is published; rejects when the commit failed. */
  async arrive(staged: Staged): Promise<void> {
    this.#arrived.push(staged);
    this.#countDown();
    await this.#committed;
  }

  /** This layer will not be in the batch. */
  leave(): void {
    this.#countDown();
  }

  #countDown(): void {
    this.#awaited--;
    if (this.#awaited === 0 && this.#arrived.length > 0) this.#start();
  }
}
