import { storeClosed } from '../record-errors.js';

/** Whether a manager in memory is still open: what its sections have in common. */
export class MemoryLife {
  #open = true;

  /** @throws ProvisionerError `ERR_CLOSED` */
  requireOpen(): void {
    if (!this.#open) throw storeClosed();
  }

  end(): void {
    this.#open = false;
  }
}
