import type { Reference } from '../image/reference.js';
import type { PassedOver } from './blobs/registry-blob.js';
import { chooseEndpoints } from './choose-endpoints.js';
import { CredentialLookup } from './credentials/credentials.js';
import { RegistryClient } from './registry-client.js';
import {
  DEFAULT_CONNECTIONS_PER_HOST,
  DEFAULT_MIN_BYTES_PER_SECOND,
  DEFAULT_RETRIES,
  DEFAULT_STALL_TIMEOUT,
  type RegistryOptions,
} from './registry-options.js';
import { Repository } from './repository.js';

export interface OpenRepositoryOptions {
  readonly signal: AbortSignal | undefined;
  readonly onPassedOver: (host: PassedOver) => void;
}

/** Repositories for one provisioner: connections and tokens are shared, settings are read for each pull. */
export class RegistryAccess {
  #client: RegistryClient | undefined;

  /** @throws ProvisionerError `ERR_REGISTRY_CONFIG`, `ERR_PERMISSION`, `ERR_IO` */
  async open(
    { registry, repository }: Pick<Reference, 'registry' | 'repository'>,
    options: RegistryOptions,
    { signal, onPassedOver }: OpenRepositoryOptions,
  ): Promise<Repository> {
    const credentials = new CredentialLookup(options.authFile, process.env, signal);
    const endpoints = await chooseEndpoints(registry, repository, options, credentials);
    const connectionsPerHost = options.connectionsPerHost ?? DEFAULT_CONNECTIONS_PER_HOST;
    this.#client ??= new RegistryClient(connectionsPerHost);
    return new Repository({
      client: this.#client,
      endpoints,
      repository,
      stallTimeout: options.stallTimeout ?? DEFAULT_STALL_TIMEOUT,
      minBytesPerSecond: options.minBytesPerSecond ?? DEFAULT_MIN_BYTES_PER_SECOND,
      retries: options.retries ?? DEFAULT_RETRIES,
      connectionsPerHost,
      signal,
      onPassedOver,
    });
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }
}
