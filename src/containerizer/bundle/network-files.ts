import { isIP } from 'node:net';
import { ProvisionerError } from '../../base/errors.js';
import type { LaunchSpec } from '../launch-spec.js';
import type { JoinedNetwork } from '../networks/network.js';
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
/** As podman calls the machine. */
const HOST_NAME = 'host.containers.internal';
const LOOPBACK = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';
const NO_NAME_SERVER = '# Nobody can be asked for names from here.\n';

/**
 * With the host's network a container knows the names that the host knows, and asks whom the host asks; with none it knows itself; with one of its own it knows itself by its address there.
 * @param host used with the network `host`, and with one of which it is not known whom to ask @param joined undefined for `none` and `host`
 * @throws ProvisionerError `ERR_BAD_OPTION` for what is no host name or no address, and for `host-gateway` without a way to the host
 */
export function networkFiles(
  { network = 'none', addHosts = {}, dns }: Pick<LaunchSpec, 'network' | 'addHosts' | 'dns'>,
  hostname: string,
  host: HostFiles,
  joined?: JoinedNetwork,
): NetworkFiles {
  const hostAddress = network === 'host' ? '127.0.0.1' : joined?.hostAddress;
  const added = Object.entries(addHosts).map(
    ([name, address]) => `${addressOf(name, address, hostAddress)}\t${name}\n`,
  );
  const known = network === 'host' ? endedLine(host.hosts) : LOOPBACK;
  // Of the machine itself it is known by that name nowhere else.
  const machine = hostAddress === undefined ? '' : `${hostAddress}\t${HOST_NAME}\n`;
  return {
    hosts: `${added.join('')}${known}${machine}${joined?.address ?? '127.0.0.1'}\t${hostname}\n`,
    hostname: `${hostname}\n`,
    resolvConf: resolvConfFor(network, host, dns, joined),
  };
}

function resolvConfFor(
  network: string,
  host: HostFiles,
  dns: readonly string[] | undefined,
  joined: JoinedNetwork | undefined,
): string {
  if (joined === undefined) return resolvConf(network === 'host' ? host.resolvConf : '', dns);
  // It asks these for the names that it does not know.
  if (joined.nameServers !== 'machine') {
    resolvConf('', dns);
    return joined.nameServers.map((address) => `nameserver ${address}\n`).join('');
  }
  return resolvConf(joined.isInternal ? '' : withoutLoopback(host.resolvConf), dns);
}

/** A name server of this machine's own is none of the container's. */
function withoutLoopback(text: string): string {
  const lines = text.split('\n').filter((line) => !/^\s*nameserver\s+(?:127\.|::1\b)/.test(line));
  return lines.some((line) => /^\s*nameserver\b/.test(line)) ? lines.join('\n') : '';
}

/** The caller's come first in the file, and so win. */
function addressOf(name: string, address: string, hostAddress: string | undefined): string {
  if (!isHostName(name)) {
    throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(name)} is no host name to add`, {
      details: { name },
    });
  }
  if (isIP(address) !== 0) return address;
  if (address === HOST_GATEWAY && hostAddress !== undefined) return hostAddress;
  throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(address)} is no address for the host ${name}`, {
    hint:
      address === HOST_GATEWAY
        ? 'there is no way to the host: give the container a network that has one, with `network`'
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
