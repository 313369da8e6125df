import { lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { hostName } from './endpoint.js';

/**
 * How near an address is: on this machine alone; on its link, where the services of clouds tell a machine its secrets; or anywhere else.
 * Private networks are elsewhere: many a registry has its storage or its token server there.
 */
export type Zone = 'loopback' | 'link' | 'elsewhere';

const DISTANCE: Readonly<Record<Zone, number>> = { loopback: 0, link: 1, elsewhere: 2 };

/** A host may send us as far away as it likes, and no nearer than it is itself: what is near trusts whoever can reach it. */
export function maySend(sender: Zone, target: Zone): boolean {
  return DISTANCE[target] >= DISTANCE[sender];
}

/** @see RFC 6890 for the special addresses; on Linux a connection to 0.0.0.0 or :: is one to this machine */
const LOOPBACK = listOf({ ipv4: ['127.0.0.0/8', '0.0.0.0/8'], ipv6: ['::1/128', '::/128'] });
/**
 * Link-local addresses, and those at which clouds answer in their place: Amazon's services in IPv6, Google's in IPv6, Alibaba's in IPv4.
 * @see RFC 3927; RFC 4291, section 2.5.6
 */
const LINK = listOf({
  ipv4: ['169.254.0.0/16', '100.100.100.200/32'],
  ipv6: ['fe80::/10', 'fd00:ec2::/32', 'fd20:ce::254/128'],
});

function listOf(networks: Readonly<Record<'ipv4' | 'ipv6', readonly string[]>>): BlockList {
  const list = new BlockList();
  for (const type of ['ipv4', 'ipv6'] as const) {
    for (const network of networks[type]) {
      const [address = '', length] = network.split('/');
      list.addSubnet(address, Number(length), type);
    }
  }
  return list;
}

/** @param address as `dns.lookup` gives it; one of IPv4 may be written as one of IPv6 */
export function zoneOfAddress(address: string): Zone {
  const type = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if (LOOPBACK.check(address, type)) return 'loopback';
  return LINK.check(address, type) ? 'link' : 'elsewhere';
}

/** What the host of a URL says of itself. @returns undefined for a name that has to be looked up */
export function zoneOfHost(host: string): Zone | undefined {
  const name = hostName(host);
  if (isIP(name) !== 0) return zoneOfAddress(name);
  // Whatever a name server says of it. @see RFC 6761, section 6.3
  return /^(?:.*\.)?localhost\.?$/.test(name) ? 'loopback' : undefined;
}

/**
 * True for the names and addresses that are meant for loopback: those may be spoken to in plain HTTP, and no proxy is asked for them. Others that lead there too, such as 0.0.0.0, are not among them.
 * @param host as in a URL, with or without a port
 */
export function isLoopback(host: string): boolean {
  const name = hostName(host);
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(?:\.\d{1,3}){3}$/.test(name);
}

/** A connection that was not made, since it would have led into another zone than the one it was meant for. */
export class WrongZone extends Error {
  override readonly name = 'WrongZone';
  readonly zone: Zone;
  readonly address: string;

  constructor(zone: Zone, address: string) {
    super(`its address is ${address}`);
    this.zone = zone;
    this.address = address;
  }
}

/**
 * Looks names up, and gives addresses of one zone alone. The one who connects uses what he is given, so it does not help to let a name
 * mean something else in the meantime.
 * @throws WrongZone when there is none, with the first of the others
 */
export function lookupWithin(zone: Zone, lookup: typeof systemLookup = systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      const fitting = (found ?? []).filter(({ address }) => zoneOfAddress(address) === zone);
      const [first] = fitting;
      if (error !== null || first === undefined) {
        const [other] = found ?? [];
        const reason = error ?? wrongZone(other?.address ?? '');
        callback(reason as NodeJS.ErrnoException, '');
      } else if (options.all === true) {
        callback(null, fitting);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

function wrongZone(address: string): WrongZone {
  return new WrongZone(zoneOfAddress(address), address);
}
