import { BlockList, isIP } from 'node:net';
import { hostName } from '../endpoint.js';
import { badSetting } from '../registry-errors.js';
import { isLoopback } from './zones.js';

/** Where a request is sent instead of to its host. */
export interface ProxyServer {
  /** `http://proxy.example:3128`: what may stand in a message. */
  readonly origin: string;
  /** `Proxy-Authorization`, of the credentials in the URL. Never printed. */
  readonly authorization: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that a request goes by. A host's own one counts whatever the environment says; the environment's are used as Docker, containerd
 * and podman use them: each for its own scheme, none for loopback.
 * @param own a proxy's URL, from `hosts.toml`
 * @returns undefined where the host is reached directly
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG`, without the URL, in which a password may stand
 * @see golang.org/x/net/http/httpproxy, `Config`; containerd, docs/hosts.md, "proxy field"
 */
export function chooseProxy(target: URL, own: string | undefined, environment: Environment): ProxyServer | undefined {
  if (own !== undefined) return parseProxy(own, 'the proxy in hosts.toml');
  const name = target.protocol === 'https:' ? 'https_proxy' : 'http_proxy';
  const setting = variable(environment, name);
  if (setting === '' || isLoopback(target.host) || isExempt(target, variable(environment, 'no_proxy')))
    return undefined;
  return parseProxy(setting.includes('://') ? setting : `http://${setting}`, `the proxy in ${name}`);
}

/**
 * @param what names the setting, for the message
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG`
 */
export function parseProxy(text: string, what: string): ProxyServer {
  const url = parseUrl(text);
  const plain = url !== undefined && url.pathname === '/' && url.search === '' && url.hash === '';
  if (!plain || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const scheme = /^socks[45]?[ah]?:/.exec(text)?.[0];
    throw badSetting(
      `${what} cannot be used: ${scheme === undefined ? 'it is no URL of a proxy' : 'SOCKS is not understood'}`,
      'write it as http://HOST:PORT or https://HOST:PORT',
      { setting: what },
    );
  }
  const { origin, username, password } = url;
  if (username === '' && password === '') return { origin, authorization: undefined };
  const credentials = `${decode(username)}:${decode(password)}`;
  return { origin, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
}

/** Small letters first, as curl has it: some programs set no others. */
function variable(environment: Environment, name: string): string {
  return (environment[name] || environment[name.toUpperCase()] || '').trim();
}

/** @param list of `no_proxy`: names, with all that is below them; addresses and networks, `10.0.0.0/8`; each with a port or without; or `*` */
function isExempt(target: URL, list: string): boolean {
  const host = hostName(target.host);
  const port = target.port || (target.protocol === 'https:' ? '443' : '80');
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => entry === '*' || isInNetwork(host, entry) || isNamed(host, port, entry));
}

function isInNetwork(host: string, entry: string): boolean {
  const [, address = '', length] = /^\[?([0-9a-f.:]+)\]?\/(\d{1,3})$/.exec(entry) ?? [];
  const family = isIP(address);
  if (family === 0 || family !== isIP(host) || Number(length) > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const network = new BlockList();
  network.addSubnet(address, Number(length), type);
  return network.check(host, type);
}

function isNamed(host: string, port: string, entry: string): boolean {
  const [, named = '', wantedPort] = isIP(entry) === 6 ? [entry, entry] : (/^(.*?)(?::(\d+))?$/.exec(entry) ?? []);
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const name = named.replace(/^\[(.*)\]$/, '$1').replace(/^\*\./, '.');
  if (name === '') return false;
  // With a dot before it, a name means what is below it alone.
  return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}

function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A per cent sign that was meant as one.
    return text;
  }
}
