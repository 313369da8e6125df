import { createHash } from 'node:crypto';
import { ProvisionerError } from '../../base/errors.js';
import type { Provisioner } from '../../index.js';
import { type ConnectionRecord, connectionsOf, NAMESPACE, NETWORK, SUBNET } from './connection-note.js';
import { type CniNetworks, readCniNetworks } from './drivers/cni-lists.js';
import { type Ipv4Range, overlap, parseRange, printIpv4, printRange, sizeOf } from './ipv4.js';
import type { MachineTurn } from './machine-turn.js';
import type { Network, OwnNetwork } from './network.js';
import { isNetworkName } from './network-mode.js';
import { routesHere } from './routes.js';

/** Those that are there without anybody having made them: with a way out, and without. */
export const BUILT_IN: ReadonlyMap<string, { readonly internal: boolean }> = new Map([
  ['bridge', { internal: false }],
  ['internal', { internal: true }],
]);

/** Where subnets are taken from, and how large they are: 4093 containers each, of which a bridge takes a quarter. */
const POOL: Ipv4Range = { first: 0x0ac00000, prefix: 11 };
const SUBNET_PREFIX = 20;
/** What is no host's: this network, loopback, link-local, multicast and what is reserved. @see RFC 6890 */
const RESERVED = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(parseRange);
/** Milliseconds until it is somebody's turn. */
const PATIENCE = 60_000;
const SMALLEST_PREFIX = 29;
const LARGEST_PREFIX = 8;

export interface NetworksOptions {
  readonly provisioner: Provisioner;
  readonly bootId: string;
  /** Of the store: two stores never have the same. */
  readonly key: string;
  /** What connects to networks that are made here. @throws ProvisionerError `ERR_NETWORK_UNSUPPORTED` */
  readonly driver: () => OwnNetwork['driver'];
  readonly turn: MachineTurn;
}

export interface NewNetwork {
  readonly internal?: boolean | undefined;
  /** Such as `10.9.0.0/24`. Default: one that nobody uses. */
  readonly subnet?: string | undefined;
}

/** The networks that containers of a store can be connected to: those that it has made, and those that administrators describe. */
export class OwnNetworks {
  readonly #options: NetworksOptions;

  constructor(options: NetworksOptions) {
    this.#options = options;
  }

  /** By its name; a built-in one is made with its first use. @throws ProvisionerError `ERR_NETWORK_NOT_FOUND`, `ERR_NETWORK_UNSUPPORTED` */
  async find(name: string): Promise<Network> {
    const own = await this.recorded(name);
    if (own !== undefined) return own;
    const builtIn = BUILT_IN.get(name);
    if (builtIn !== undefined) return this.#make(name, builtIn, true);
    const { networks, bad } = await readCniNetworks();
    const configured = networks.find((network) => network.name === name);
    if (configured === undefined) throw await this.#notFound(name, networks, bad);
    return configured;
  }

  async recorded(name: string): Promise<OwnNetwork | undefined> {
    return (await this.recordedOnes()).find((network) => network.name === name);
  }

  async recordedOnes(): Promise<OwnNetwork[]> {
    const records = await this.#options.provisioner.holdings.list({ kind: NETWORK });
    return records.flatMap(({ details }) => (details === undefined ? [] : [JSON.parse(details) as OwnNetwork]));
  }

  /** Sorted by name. A built-in one is told when it has been used. */
  async list(): Promise<Network[]> {
    const own = await this.recordedOnes();
    const { networks } = await readCniNetworks();
    const others = networks.filter(({ name }) => !own.some((one) => one.name === name));
    return [...own, ...others].sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  /** @throws ProvisionerError `ERR_NETWORK_EXISTS`, `ERR_NETWORK_UNSUPPORTED`, `ERR_BAD_OPTION` */
  async create(name: string, wanted: NewNetwork = {}): Promise<OwnNetwork> {
    if (!isNetworkName(name)) {
      throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(name)} cannot be the name of a network`, {
        hint: 'use at most 63 letters, digits, and _ . - after the first one; words such as none and host mean something else',
        details: { network: name },
      });
    }
    const { networks } = await readCniNetworks();
    if (networks.some((network) => network.name === name)) throw exists(name);
    return this.#make(name, wanted, false);
  }

  /** @param isShared one that somebody else has just made will do */
  async #make(name: string, { internal = false, subnet }: NewNetwork, isShared: boolean): Promise<OwnNetwork> {
    const { provisioner, bootId, key, driver } = this.#options;
    const chosen = driver();
    const bridge = `pv-${createHash('sha256').update(`${key} ${name}`).digest('hex').slice(0, 10)}`;
    for (const range of await this.#ranges(name, subnet)) {
      const { first } = range;
      const parts = { subnet: printRange(range), gateway: printIpv4(first + 1), bridge };
      const network: OwnNetwork = { kind: 'own', name, driver: chosen, internal, ...parts };
      const details = JSON.stringify(network);
      const wanted = [
        { kind: NETWORK, names: [name], details },
        { kind: SUBNET, names: [network.subnet] },
      ];
      const { held } = await provisioner.holdings.take({ holder: name, bootId }, wanted);
      if (held === undefined) return network;
      if (held.some(({ kind }) => kind === NETWORK)) {
        const other = await this.recorded(name);
        if (!isShared || other === undefined) throw exists(name);
        return other;
      }
      // Somebody was quicker with that subnet.
    }
    throw noSubnet();
  }

  /** That was asked for, or those that are free, in an order of this store's own: other stores of the machine are not seen before they use theirs. */
  async #ranges(name: string, wanted: string | undefined): Promise<Ipv4Range[]> {
    const { provisioner, key } = this.#options;
    const recorded = await provisioner.holdings.list({ kind: SUBNET });
    const taken = [
      ...recorded.map((one) => parseRange(one.name)),
      ...routesHere().map((route) => route.range),
      ...RESERVED,
    ].filter((one) => one !== undefined);
    const isFree = (range: Ipv4Range) => !taken.some((other) => overlap(range, other));
    if (wanted !== undefined) {
      const range = parseRange(wanted);
      if (range === undefined || range.prefix > SMALLEST_PREFIX || range.prefix < LARGEST_PREFIX) {
        throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(wanted)} is no subnet for a network`, {
          hint: 'write one such as 10.9.0.0/24, with no bit set behind the prefix',
          details: { subnet: wanted },
        });
      }
      if (!isFree(range)) {
        throw new ProvisionerError('ERR_NETWORK_EXISTS', `addresses of ${wanted} are used on this machine already`, {
          hint: '`ip route` and `provisioner network ls` show by what',
          details: { subnet: wanted },
        });
      }
      return [range];
    }
    const count = 2 ** (SUBNET_PREFIX - POOL.prefix);
    const begin = createHash('sha256').update(`${key} ${name}`).digest().readUInt32BE() % count;
    const size = sizeOf({ first: 0, prefix: SUBNET_PREFIX });
    const all = Array.from({ length: count }, (_, index) => ({
      first: POOL.first + ((begin + index) % count) * size,
      prefix: SUBNET_PREFIX,
    }));
    return all.filter(isFree);
  }

  /** @returns false when there is none of this store @throws ProvisionerError `ERR_NETWORK_IN_USE` */
  async remove(name: string): Promise<boolean> {
    const { provisioner, turn } = this.#options;
    const { holdings } = provisioner;
    // Whoever connects to it looks whether it is there while he has the turn, and is recorded by then.
    return turn.take(async () => {
      const held = await holdings.list({ holder: name });
      const own = held.filter(({ kind }) => kind === NETWORK || kind === SUBNET);
      if (own.length === 0) return false;
      const users = await this.users(name);
      if (users.length > 0) {
        const count = users.length === 1 ? 'a namespace is' : `${users.length} namespaces are`;
        throw new ProvisionerError('ERR_NETWORK_IN_USE', `${count} connected to the network ${name}`, {
          hint: 'end and destroy the containers first: `provisioner network inspect` names them; those that wait to be used go with the process that keeps them ready',
          details: { network: name },
        });
      }
      await holdings.release(own);
      return true;
    }, PATIENCE);
  }

  /** What is connected to a network, or about to be. */
  async users(name: string): Promise<ConnectionRecord[]> {
    const records = await this.#options.provisioner.holdings.list({ kind: NAMESPACE });
    return connectionsOf(records).filter(({ note }) => note.network.name === name);
  }

  async #notFound(
    name: string,
    configured: CniNetworks['networks'],
    bad: CniNetworks['bad'],
  ): Promise<ProvisionerError> {
    const own = await this.#options.provisioner.holdings.list({ kind: NETWORK });
    const names = [...BUILT_IN.keys(), ...own.map((one) => one.name), ...configured.map((one) => one.name)];
    const unread = bad
      .map(({ path, why }) => `; ${path} cannot be used: ${why}`)
      .slice(0, 3)
      .join('');
    return new ProvisionerError('ERR_NETWORK_NOT_FOUND', `there is no network ${name}${unread}`, {
      hint: `known are ${[...new Set(names)].join(', ')}, host and none; \`provisioner network create ${name}\` makes one`,
      details: { network: name },
    });
  }
}

function exists(name: string): ProvisionerError {
  return new ProvisionerError('ERR_NETWORK_EXISTS', `there is a network ${name} already`, {
    hint: 'choose another name; `provisioner network ls` shows what there is',
    details: { network: name },
  });
}

function noSubnet(): ProvisionerError {
  return new ProvisionerError('ERR_NETWORK_FULL', 'all subnets that networks are made of are in use on this machine', {
    hint: 'name one: `provisioner network create NAME --subnet 192.168.77.0/24`',
  });
}
