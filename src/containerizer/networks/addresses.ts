import { randomInt } from 'node:crypto';
import { ProvisionerError } from '../../base/errors.js';
import type { Provisioner } from '../../index.js';
import { ADDRESS } from './connection-note.js';
import { type Ipv4, isIn, parseIpv4, parseRange, printIpv4, sizeOf } from './ipv4.js';
import type { OwnNetwork } from './network.js';

/** Addresses that are tried at a time: others may be taking some. */
const CANDIDATES = 16;
/** As many as a bridge of Linux has places for, but for one. @see linux/net/bridge/br_private.h, BR_MAX_PORTS */
const CONNECTED_MOST = 1000;

/**
 * Takes an address of a network for a namespace, and records that.
 * @param wanted by the caller @returns it
 * @throws ProvisionerError `ERR_ADDRESS_IN_USE`, `ERR_NETWORK_FULL`, `ERR_BAD_OPTION`
 */
export async function takeAddress(
  provisioner: Pick<Provisioner, 'holdings'>,
  network: OwnNetwork,
  taker: { readonly holder: string; readonly bootId: string },
  wanted: string | undefined,
): Promise<string> {
  const choices =
    wanted === undefined ? await freeOnes(provisioner.holdings, network) : [wantedAddress(network, wanted)];
  const names = choices.map(printIpv4);
  const { taken } = await provisioner.holdings.take(taker, [{ kind: ADDRESS, names, count: 1 }]);
  const [address] = taken ?? [];
  if (address !== undefined) return address.name;
  if (wanted === undefined) return takeAddress(provisioner, network, taker, wanted);
  throw new ProvisionerError('ERR_ADDRESS_IN_USE', `another container has the address ${wanted}`, {
    hint: 'leave it out for one that is free; `provisioner network inspect` shows who has which',
    details: { network: network.name, address: wanted },
  });
}

/** Any, so that one which has just been given back is hardly given out at once: others may still know it as somebody else's. */
async function freeOnes(holdings: Provisioner['holdings'], network: OwnNetwork): Promise<Ipv4[]> {
  const range = rangeOf(network);
  const records = await holdings.list({ kind: ADDRESS });
  const taken = new Set(
    records.map(({ name }) => parseIpv4(name)).filter((one) => one !== undefined && isIn(one, range)),
  );
  // Its own address, that of the machine, and the last one.
  const first = range.first + 2;
  const count = sizeOf(range) - 3;
  if (taken.size >= Math.min(count, CONNECTED_MOST)) throw full(network, taken.size);
  const begin = randomInt(count);
  const free: Ipv4[] = [];
  for (let index = 0; index < count && free.length < CANDIDATES; index++) {
    const address = first + ((begin + index) % count);
    if (!taken.has(address)) free.push(address);
  }
  return free;
}

function wantedAddress(network: OwnNetwork, text: string): Ipv4 {
  const range = rangeOf(network);
  const address = parseIpv4(text);
  const last = range.first + sizeOf(range) - 1;
  if (address !== undefined && address > range.first + 1 && address < last) return address;
  throw new ProvisionerError(
    'ERR_BAD_OPTION',
    `${JSON.stringify(text)} is no address for a container of the network ${network.name}`,
    {
      hint: `write one of ${network.subnet}; the first two and the last one are taken`,
      details: { network: network.name, address: text },
    },
  );
}

function rangeOf({ subnet, name }: OwnNetwork) {
  const range = parseRange(subnet);
  if (range === undefined) throw new TypeError(`the record of the network ${name} has no subnet`);
  return range;
}

function full({ name, subnet }: OwnNetwork, count: number): ProvisionerError {
  return new ProvisionerError(
    'ERR_NETWORK_FULL',
    `the network ${name} (${subnet}) has ${count} containers, and room for no more`,
    {
      hint: 'end some of them, or make another network: `provisioner network create`',
      details: { network: name },
    },
  );
}
