import { lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { hostName } from '../endpoint.js';

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
 * Link-local addresses, and those at which clouds answer in their place: Amazon's services in IPv6, Google's in IPv6, Alibaba's and Azure's in IPv4.
 * @see RFC 3927; RFC 4291, section 2.5.6
 */
const LINK = listOf({
  ipv4: ['169.254.0.0/16', '100.100.100.200/32', '168.63.129.16/32'],
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

/** Networks of IPv6 whose addresses stand for one of IPv4, and where in them that begins, in 16-bit groups. @see RFC 6052, section 2.1; RFC 8215; RFC 3056, section 2 */
const TRANSLATED = [
  { network: listOf({ ipv4: [], ipv6: ['64:ff9b::/96', '64:ff9b:1::/48'] }), at: 6 },
  { network: listOf({ ipv4: [], ipv6: ['2002::/16'] }), at: 1 },
] as const;

/** The address of IPv4 that a gateway makes of one of IPv6; undefined for any other. */
function translated(address: string): string | undefined {
  const found = TRANSLATED.find(({ network }) => network.check(address, 'ipv6'));
  if (found === undefined) return undefined;
  const [high = 0, low = 0] = groupsOf(address).slice(found.at);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** The eight 16-bit groups of an address of IPv6. */
function groupsOf(address: string): number[] {
  // The parser of URLs writes an address of IPv4 at the end as two groups.
  const { hostname } = new URL(`http://[${address.replace(/%.*$/, '')}]`);
  const [before = [], after] = hostname
    .slice(1, -1)
    .split('::')
    .map((part) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))));
  return after === undefined ? before : [...before, ...Array(8 - before.length - after.length).fill(0), ...after];
}

/** @param address as `dns.lookup` gives it; one of IPv4 may be written as one of IPv6, or translated into one */
export function zoneOfAddress(address: string): Zone {
  const type = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  const other = type === 'ipv6' ? translated(address) : undefined;
  if (other !== undefined) return zoneOfAddress(other);
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
