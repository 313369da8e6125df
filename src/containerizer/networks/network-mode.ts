import { isAbsolute } from 'node:path';
import { ProvisionerError } from '../../base/errors.js';

/** What a launch says of its network, taken apart. */
export type NetworkMode =
  | { readonly kind: 'none' }
  | { readonly kind: 'host' }
  /** Absolute. */
  | { readonly kind: 'namespace'; readonly path: string }
  | { readonly kind: 'network'; readonly name: string };

const NAMESPACE = 'netns:';
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
/** Words that mean something else. */
const TAKEN = new Set(['none', 'host', 'default', 'container', 'netns', 'ns', 'private', 'slirp4netns', 'pasta']);

/** @param text `none`, `host`, `netns:PATH`, or the name of a network @throws ProvisionerError `ERR_BAD_OPTION` */
export function networkModeOf(text = 'none'): NetworkMode {
  if (text === 'none' || text === 'host') return { kind: text };
  if (text.startsWith(NAMESPACE)) {
    const path = text.slice(NAMESPACE.length);
    if (isAbsolute(path) && !path.includes('\0')) return { kind: 'namespace', path };
    throw badNetwork(text, 'the path of a namespace begins with a slash: netns:/run/netns/NAME');
  }
  if (isNetworkName(text)) return { kind: 'network', name: text };
  throw badNetwork(text, 'write none, host, netns:PATH, or the name of a network: `provisioner network ls`');
}

export const isNetworkName = (text: string): boolean => NAME.test(text) && !TAKEN.has(text);

function badNetwork(network: string, hint: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(network)} is no network`, {
    hint,
    details: { network },
  });
}
