import { isIP } from 'node:net';
import { ProvisionerError } from '../../base/errors.js';
import type { LaunchSpec } from '../launch-spec.js';
import { isHostName } from './host-name.js';

/** What the files are that a container has in place of the image's. */
export interface NetworkFiles {
  readonly hosts: string;
  readonly hostname: string;
  readonly resolvConf: string;
}

/** Those of the machine; empty where it has none. */
export interface HostFiles {
  readonly hosts: string;
  readonly resolvConf: string;
}

const HOST_GATEWAY = 'host-gateway';
const LOOPBACK = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';
const NO_NAME_SERVER = '# This container has no network, and so no name servers.\n';

/**
 * With the host's network a container knows the names that the host knows, and asks whom the host asks; with none it knows itself.
 * @param host used with the network `host` alone
 * @throws ProvisionerError `ERR_BAD_OPTION` for what is no host name or no address, and for `host-gateway` without a network
 */
export function networkFiles(
  { network = 'none', addHosts = {}, dns }: Pick<LaunchSpec, 'network' | 'addHosts' | 'dns'>,
  hostname: string,
  host: HostFiles,
): NetworkFiles {
  const added = Object.entries(addHosts).map(([name, address]) => `${addressOf(name, address, network)}\t${name}\n`);
  const known = network === 'host' ? endedLine(host.hosts) : LOOPBACK;
  return {
    hosts: `${added.join('')}${known}127.0.0.1\t${hostname}\n`,
    hostname: `${hostname}\n`,
    resolvConf: resolvConf(network === 'host' ? host.resolvConf : '', dns),
  };
}

/** The caller's come first in the file, and so win. */
function addressOf(name: string, address: string, network: 'none' | 'host'): string {
  if (!isHostName(name)) {
    throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(name)} is no host name to add`, {
      details: { name },
    });
  }
  if (isIP(address) !== 0) return address;
  if (address === HOST_GATEWAY && network === 'host') return '127.0.0.1';
  throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(address)} is no address for the host ${name}`, {
    hint:
      address === HOST_GATEWAY
        ? 'without a network there is no way to the host: give the container one with `network`'
        : 'give one such as `192.0.2.1` or `2001:db8::1`',
    details: { name, address },
  });
}

/** The machine's name servers, and how it looks for names: its resolver's own file, not those of a container. */
export const HOST_RESOLV_CONF = '/etc/resolv.conf';

/** Name servers of the caller's take the place of all others; how names are searched stays. @see resolv.conf(5) */
export function resolvConf(base: string, dns: readonly string[] | undefined): string {
  for (const address of dns ?? []) {
    if (isIP(address) === 0) {
      throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(address)} is no address of a name server`, {
        details: { dns: address },
      });
    }
  }
  if (dns === undefined || dns.length === 0) return base === '' ? NO_NAME_SERVER : endedLine(base);
  const others = base.split('\n').filter((line) => line !== '' && !/^\s*nameserver\b/.test(line));
  return [...others, ...dns.map((address) => `nameserver ${address}`), ''].join('\n');
}

function endedLine(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}
