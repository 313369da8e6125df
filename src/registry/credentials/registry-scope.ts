import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import { parseReference } from '../../image/reference.js';

/** A registry as a whole, or what of it lies below a path. */
export interface RegistryScope {
  /** As references have it: `docker.io`, `localhost:5000`. */
  readonly registry: string;
  /** Empty for the whole. */
  readonly repository: string;
}

/** By which Docker Hub's servers go, and references do not. */
const HUB_SERVER = /^registry-1\.docker\.io(?=\/|$)/;
/** Makes a repository of what may be a registry alone. */
const ANY = 'x';

/**
 * @param text as people type it: `registry.example:5000`, `registry.example/team`; of a URL, its host
 * @throws ProvisionerError `ERR_BAD_REFERENCE`
 */
export function parseRegistryScope(text: string): RegistryScope {
  const [, host] = /^https?:\/\/(?:[^/@]*@)?([^/?#]*)/.exec(text) ?? [];
  const named = (host ?? text).replace(HUB_SERVER, 'docker.io');
  const slash = named.indexOf('/');
  const first = slash < 0 ? named : named.slice(0, slash);
  let registry: string;
  try {
    ({ registry } = parseReference(`${named}/${ANY}`));
  } catch (error) {
    if (!isProvisionerError(error)) throw error;
    throw badRegistry(text, 'it is a host, with :PORT where needed, and perhaps the beginning of a repository');
  }
  // What has no dot and no port is taken for a part of Docker Hub where images are named, so a login to it would never be found.
  if (registry === 'docker.io' && !/^(?:index\.)?docker\.io$/.test(first)) {
    throw badRegistry(
      text,
      `in the names of images, ${JSON.stringify(first.slice(0, 100))} is a part of Docker Hub: a registry has a dot or a port, or is localhost`,
    );
  }
  return { registry, repository: slash < 0 ? '' : named.slice(slash + 1) };
}

function badRegistry(text: string, problem: string): ProvisionerError {
  const safe = text.slice(0, 300).replace(/(^|\/\/)[^/@]*@/, '$1***@');
  return new ProvisionerError('ERR_BAD_REFERENCE', `not a registry: ${JSON.stringify(safe)}: ${problem}`, {
    hint: 'write REGISTRY or REGISTRY/PATH, such as registry.example:5000/team',
    details: { reference: safe },
  });
}
