import type { ProvisionerError } from '../../base/errors.js';
import type { Endpoint } from '../endpoint.js';
import { type Asked, failed } from '../registry-errors.js';
import { isLoopback, maySend, type Zone, zoneOfHost } from './zones.js';

/** Where hosts send us on to, by a redirect or to a token server. They are not believed when they send us nearer than they are themselves, or out of TLS. */

/** @param zone where the host is that was asked at `from`, and redirects @throws ProvisionerError `ERR_REGISTRY_FAILED` */
export function redirectTarget(
  location: string | undefined,
  from: { readonly url: URL; readonly zone: Zone },
  endpoint: Endpoint,
  asked: Asked,
): URL {
  let target: URL;
  try {
    target = new URL(location ?? '', from.url);
  } catch (error) {
    throw failed(asked, 'it redirects to nowhere', { cause: error });
  }
  requireDistance(target, zoneOfHost(target.host), from.zone, endpoint, asked);
  const plain = from.url.protocol === 'http:' || mayBePlain(target, endpoint);
  if (location !== undefined && (target.protocol === 'https:' || (target.protocol === 'http:' && plain))) return target;
  throw failed(asked, `it redirects to where there is no TLS: ${target.host}`, {
    hint: 'if that is meant, say so with --tls-verify=false',
  });
}

/**
 * Where a host says, in a manifest, that a layer lies. It is believed as far as with a redirect.
 * @param from as with `redirectTarget`; `plain` where it was asked without TLS @throws ProvisionerError `ERR_REGISTRY_FAILED`
 */
export function namedPlace(
  place: string,
  from: { readonly plain: boolean; readonly zone: Zone },
  endpoint: Endpoint,
  asked: Asked,
): URL {
  const target = URL.canParse(place) ? new URL(place) : undefined;
  if (target === undefined || !['https:', 'http:'].includes(target.protocol))
    throw failed(asked, 'its manifest says that the layer lies elsewhere, and not at a URL of the web');
  requireDistance(target, zoneOfHost(target.host), from.zone, endpoint, asked);
  if (target.protocol === 'https:' || from.plain || mayBePlain(target, endpoint)) return target;
  throw failed(asked, `its manifest says that the layer lies where there is no TLS: ${target.host}`, {
    hint: 'if that is meant, say so with --tls-verify=false',
  });
}

/**
 * A registry that is reached over TLS must not make us send a password in the open.
 * @param sentBy where the host is that names the server @throws ProvisionerError `ERR_REGISTRY_FAILED`
 */
export function tokenServer(realm: string, sentBy: Zone, endpoint: Endpoint, asked: Asked): URL {
  let url: URL;
  try {
    url = new URL(realm);
  } catch (error) {
    throw failed(asked, 'it names a token server that is no URL', { cause: error });
  }
  requireDistance(url, zoneOfHost(url.host), sentBy, endpoint, asked);
  const plain = endpoint.scheme === 'http' || mayBePlain(url, endpoint);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && plain)) return url;
  throw failed(asked, `it names a token server that would have to be asked without TLS: ${url.host}`, {
    hint: 'the registry is set up wrongly; tell its operator',
  });
}

/**
 * @param zone of the target; undefined when that is not known yet
 * @param sentBy undefined for a host that the user has named, which may be anywhere
 * @throws ProvisionerError `ERR_REGISTRY_FAILED`
 */
export function requireDistance(
  target: URL,
  zone: Zone | undefined,
  sentBy: Zone | undefined,
  endpoint: Endpoint,
  asked: Asked,
): void {
  if (zone === undefined || sentBy === undefined || maySend(sentBy, zone) || isNamed(target, endpoint)) return;
  throw tooNear(target, zone, asked);
}

/** By now it is allowed to be there at all. */
function mayBePlain(target: URL, endpoint: Endpoint): boolean {
  return !endpoint.tls.verify || isLoopback(target.host) || isNamed(target, endpoint);
}

function isNamed({ origin }: URL, { maySendTo = [] }: Endpoint): boolean {
  return maySendTo.includes(origin);
}

function tooNear({ host, origin }: URL, zone: Zone, asked: Asked): ProvisionerError {
  const where =
    zone === 'loopback'
      ? "which is this machine's own loopback"
      : 'a link-local address, where clouds tell a machine its secrets';
  return failed(asked, `it sends us to ${host}, ${where}`, {
    hint: `a registry elsewhere must not reach services there; if it is meant to, name them in its hosts.toml: [host.${JSON.stringify(origin)}] with capabilities = []`,
    details: { target: origin, zone },
  });
}
