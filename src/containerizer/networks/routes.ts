import { readFileSync } from 'node:fs';
import { ProvisionerError, systemCode } from '../../base/errors.js';
import { type Ipv4Range, overlap, parseRange } from './ipv4.js';
import type { OwnNetwork } from './network.js';

/** A way of this machine to some addresses. */
export interface Route {
  readonly range: Ipv4Range;
  readonly interface: string;
}

/** All but the way to everywhere. @see proc(5), /proc/net/route */
export function routesHere(): Route[] {
  let text: string;
  try {
    text = readFileSync('/proc/net/route', 'latin1');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [name = '', destination = '', , , , , , mask = ''] = line.split('\t');
      if (!/^[0-9A-F]{8}$/.test(destination) || !/^[0-9A-F]{8}$/.test(mask) || mask === '00000000') return [];
      const prefix = numberOf(mask).toString(2).replaceAll('0', '').length;
      return [{ range: { first: numberOf(destination), prefix }, interface: name.trim() }];
    });
}

/** Written as the bytes lie in memory. */
const numberOf = (hex: string): number => Buffer.from(hex, 'hex').readUInt32LE();

/** What others have made of its addresses since it was made, such as another store. @throws ProvisionerError `ERR_NETWORK_EXISTS` */
export function requireFree({ name, subnet, bridge }: OwnNetwork): void {
  const range = parseRange(subnet);
  const other = routesHere().find(
    (route) => range !== undefined && route.interface !== bridge && overlap(route.range, range),
  );
  if (other === undefined) return;
  throw new ProvisionerError(
    'ERR_NETWORK_EXISTS',
    `the addresses of the network ${name} (${subnet}) are at ${other.interface} on this machine`,
    {
      hint: `when nothing is connected to it, \`provisioner network rm ${name}\`, and make it again with other addresses`,
      details: { network: name, subnet, interface: other.interface },
    },
  );
}
