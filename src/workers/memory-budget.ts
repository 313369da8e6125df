/**
 * Memory that all threads of a pool share: whoever needs much of it asks, and waits until others have given enough back. First come, first served, so that a large need is
 * not put off for ever by small ones. One that is larger than all there is gets it when nobody else has any.
 */
export class MemoryBudget<Owner> {
  readonly #bytes: number;
  readonly #held = new Map<Owner, number>();
  readonly #waiting: { readonly owner: Owner; readonly bytes: number; readonly granted: () => void }[] = [];

  /** @param bytes in all */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** @param owner has and waits for nothing @param granted called when it may have them, perhaps at once */
  take(owner: Owner, bytes: number, granted: () => void): void {
    this.#waiting.push({ owner, bytes, granted });
    this.#grant();
  }

  /** Takes back what an owner has, or the place where it waits. */
  giveBack(owner: Owner): void {
    const index = this.#waiting.findIndex((waiting) => waiting.owner === owner);
    if (index !== -1) this.#waiting.splice(index, 1);
    this.#held.delete(owner);
    this.#grant();
  }

  #grant(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#fits(first.bytes); first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#held.set(first.owner, first.bytes);
      first.granted();
    }
  }

  #fits(bytes: number): boolean {
    let held = 0;
    for (const part of this.#held.values()) held += part;
    return held === 0 || held + bytes <= this.#bytes;
  }
}
