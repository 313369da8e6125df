import type { ProvisionerEmitter } from '../events.js';
import type { PassedOver } from '../registry/blobs/registry-blob.js';
import type { RegistryAccess } from '../registry/registry-access.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import { reportPassedOver } from '../registry/report-passed-over.js';
import type { OpenSourceOptions } from '../sources/open-source.js';

/** The registries that one provisioner speaks to. Nothing of it is loaded before the first is asked. */
export class Registries {
  readonly #events: ProvisionerEmitter;
  #access: RegistryAccess | undefined;

  constructor(events: ProvisionerEmitter) {
    this.#events = events;
  }

  /** How `openSource` gets at repositories. @param options read when one is opened */
  opener(options: RegistryOptions): OpenSourceOptions['openRepository'] {
    return async (reference, signal) => {
      const { RegistryAccess } = await import('../registry/registry-access.js');
      this.#access ??= new RegistryAccess();
      const onPassedOver = (host: PassedOver) => reportPassedOver(this.#events, host);
      return this.#access.open(reference, options, { signal, onPassedOver });
    };
  }

  /** Resolves when no connection is open. */
  async close(): Promise<void> {
    await this.#access?.close();
  }
}
