import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, systemCode } from '../base/errors.js';
import { readForeignText } from '../base/foreign-file.js';
import { readCertificateDirectory, readCertificates } from './connection/certificates.js';
import { isLoopback } from './connection/zones.js';
import type { CredentialLookup } from './credentials/credentials.js';
import type { Credentials, Endpoint } from './endpoint.js';
import { type HostEntry, parseHostsFile } from './hosts-file.js';
import { badSetting } from './registry-errors.js';
import { DEFAULT_HOSTS_DIR, type RegistryOptions } from './registry-options.js';

/** Docker Hub answers under another name than the one that references have. */
const SERVED_BY: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' };

/**
 * The hosts to ask for the images of a registry, in order: its mirrors as `hosts.toml` has them, then the registry itself. Files are read
 * at each call, so that a change counts from the next pull on.
 * @param registry as references write it: `docker.io`, `localhost:5000`
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG`, `ERR_PERMISSION`, `ERR_IO`
 */
export async function chooseEndpoints(
  registry: string,
  repository: string,
  options: RegistryOptions,
  credentials: Pick<CredentialLookup, 'find'>,
): Promise<readonly Endpoint[]> {
  const { certDir, hostsDir = DEFAULT_HOSTS_DIR, tlsVerify = true } = options;
  if (options.hostsDir !== undefined && !(await isDirectory(options.hostsDir))) {
    throw badSetting(`the directory ${hostsDir} does not exist`, 'check --hosts-dir', { path: hostsDir });
  }
  const found = await readHosts(hostsDir, registry);
  const own = certDir === undefined ? undefined : await readCertificateDirectory(certDir);
  if (certDir !== undefined && own === undefined) {
    throw badSetting(`the directory ${certDir} does not exist`, 'check --cert-dir', { path: certDir });
  }

  const endpoints: Endpoint[] = [];
  const named = [...(found?.mirrors ?? []), found?.registry.server ?? []].flat();
  const maySendTo = named.map(({ scheme, host }) => `${scheme}://${host}`);
  for (const mirror of found?.mirrors ?? []) {
    const certificates = await readCertificates(mirror.caFiles, mirror.clientFiles);
    endpoints.push({
      ...placeAndManner(mirror),
      namespace: registry,
      maySendTo,
      tls: { ...certificates, verify: mirror.verify && tlsVerify },
      credentials: await credentials.find(mirror.host, repository),
    });
  }

  const server = found?.registry.server ?? serverOf(registry, tlsVerify);
  const certificates =
    own ?? found?.certificates ?? (await readCertificates(found?.registry.caFiles ?? [], found?.registry.clientFiles));
  endpoints.push({
    ...placeAndManner({ ...(found?.registry ?? PLAIN), ...server }),
    ...(isOther(server.host, registry) ? { namespace: registry } : {}),
    maySendTo,
    tls: { ...certificates, verify: (found?.registry.verify ?? true) && tlsVerify },
    credentials:
      given(options) ?? (await credentials.find(isOther(server.host, registry) ? server.host : registry, repository)),
  });
  return endpoints;
}

const PLAIN = { pulls: true, resolves: true, headers: {} };

function placeAndManner({
  host,
  scheme,
  path,
  pulls,
  resolves,
  headers,
  proxy,
  connectTimeout,
}: Omit<HostEntry, 'verify' | 'caFiles' | 'clientFiles'>): Omit<Endpoint, 'tls'> {
  return { host, scheme, path, pulls, resolves, headers, proxy, connectTimeout };
}

function given({ credentials }: RegistryOptions): Credentials | undefined {
  return credentials && { kind: 'password', ...credentials };
}

/** TLS is tried first on loopback too, since a registry that speaks it must not be spoken to in the open. */
function serverOf(registry: string, tlsVerify: boolean): Pick<Endpoint, 'host' | 'scheme' | 'path'> {
  const host = SERVED_BY[registry] ?? registry;
  return { host, scheme: isLoopback(host) || !tlsVerify ? 'either' : 'https', path: '/v2' };
}

/** A server under another name than the registry's is a mirror like the others: it is told which registry is meant. */
function isOther(host: string, registry: string): boolean {
  return host !== registry && host !== SERVED_BY[registry];
}

interface FoundHosts extends Partial<ReturnType<typeof parseHostsFile>> {
  readonly mirrors: readonly HostEntry[];
  readonly registry: ReturnType<typeof parseHostsFile>['registry'];
  /** Of a directory that holds nothing but certificates, as Docker has them. */
  readonly certificates?: Awaited<ReturnType<typeof readCertificateDirectory>>;
}

async function readHosts(hostsDir: string, registry: string): Promise<FoundHosts | undefined> {
  // A colon cannot be in a name everywhere, so `registry:5000` may also be written `registry_5000_`.
  const names = [registry.replace(/:(\d+)$/, '_$1_'), registry, '_default'];
  for (const name of new Set(names)) {
    const directory = join(hostsDir, name);
    const text = await readIfThere(join(directory, 'hosts.toml'));
    if (text !== undefined) return parseHostsFile(text, directory);
    const certificates = await readCertificateDirectory(directory);
    if (certificates === undefined) continue;
    return { ...parseHostsFile('', directory), certificates };
  }
  return undefined;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return false;
    throw fileError(error, 'read the hosts of registries', path);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readForeignText(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw fileError(error, 'read the hosts of a registry', path);
  }
}
