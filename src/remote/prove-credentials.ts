import { chooseEndpoints } from '../registry/choose-endpoints.js';
import type { Endpoint } from '../registry/endpoint.js';
import { RegistryClient } from '../registry/registry-client.js';
import { badSetting } from '../registry/registry-errors.js';
import {
  DEFAULT_MIN_BYTES_PER_SECOND,
  DEFAULT_RETRIES,
  DEFAULT_STALL_TIMEOUT,
  type UserCredentials,
} from '../registry/registry-options.js';
import { withRetries } from '../registry/retry.js';
import type { LoginRegistryOptions } from './remote-options.js';

/** None of the mirrors gets to see anything, so nothing has to be looked up for them. */
const NO_OTHERS = { find: async () => undefined };

/**
 * Asks a registry, and none of its mirrors, for its API with these credentials, as each request of a pull begins.
 * @returns false when it was not interested in them
 * @throws ProvisionerError `ERR_REGISTRY_UNAUTHORIZED` and the other `ERR_REGISTRY_…`, `ERR_ABORTED`
 * @see OCI distribution-spec, "Determining Support"
 */
export async function proveCredentials(
  registry: string,
  credentials: UserCredentials,
  options: LoginRegistryOptions,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const endpoints = await chooseEndpoints(registry, '', { ...options, credentials }, NO_OTHERS);
  const endpoint = endpoints.at(-1) as Endpoint;
  // A pull would look for the credentials of that other host.
  if (endpoint.namespace !== undefined) {
    throw badSetting(
      `hosts.toml has ${endpoint.host} answer for ${registry}`,
      `log in to ${endpoint.host}, whose credentials are what counts`,
      { registry, host: endpoint.host },
    );
  }
  const client = new RegistryClient(1);
  try {
    const { stallTimeout = DEFAULT_STALL_TIMEOUT, minBytesPerSecond = DEFAULT_MIN_BYTES_PER_SECOND } = options;
    const patience = { stallTimeout, minBytesPerSecond, signal };
    const request = { method: 'GET', path: '', subject: 'a login', ...patience } as const;
    const { retries = DEFAULT_RETRIES } = options;
    const answer = await withRetries(() => client.request(endpoint, '', request), { retries, signal });
    answer.body.destroy();
    return client.learnt(endpoint, '').authorization !== undefined;
  } finally {
    await client.close();
  }
}
