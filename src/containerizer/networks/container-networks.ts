import { checkArgument, flag, type OptionTable, text } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import type { Provisioner } from '../../index.js';
import type { ConnectionRecord } from './connection-note.js';
import type { Network, PortMapping } from './network.js';
import { BUILT_IN, type NewNetwork, type OwnNetworks } from './own-networks.js';

const NEW_NETWORK: OptionTable<NewNetwork> = { internal: flag, subnet: text };

/** The networks of a store, and those that administrators of the machine describe. */
export interface ContainerNetworks {
  /** Sorted by name, those that are there by themselves too: what follows the name is known of these from their first use on. */
  list(): Promise<NetworkInfo[]>;
  /** @returns undefined when there is none */
  get(name: string): Promise<NetworkInfo | undefined>;
  /** @throws ProvisionerError `ERR_NETWORK_EXISTS`, `ERR_NETWORK_UNSUPPORTED`, `ERR_NETWORK_FULL`, `ERR_BAD_OPTION` */
  create(name: string, options?: NewNetwork): Promise<NetworkInfo>;
  /** A built-in one is made again with its next use. @returns false when there is none of this store's @throws ProvisionerError `ERR_NETWORK_IN_USE` */
  remove(name: string): Promise<boolean>;
}

export interface NetworkInfo {
  readonly name: string;
  /** Undefined before the first use of one that is there by itself. */
  readonly driver?: 'netavark' | 'cni' | undefined;
  /** A file of the machine's administrator describes it; then what follows up to the interface is not known. */
  readonly isConfigured: boolean;
  readonly internal?: boolean | undefined;
  readonly subnet?: string | undefined;
  readonly gateway?: string | undefined;
  /** The bridge on this machine, which is there while a container is connected. */
  readonly interface?: string | undefined;
  readonly containers: readonly NetworkMember[];
  /** Namespaces that wait for containers. */
  readonly ready: number;
  /** Why this process could not have as many ready as it is to. */
  readonly problem?: string | undefined;
}

export interface NetworkMember {
  /** Undefined while it is not known: it is just being started, or going. */
  readonly containerId: string | undefined;
  readonly address: string | undefined;
  readonly ports: readonly PortMapping[];
  readonly names: readonly string[];
}

export class NetworksOfStore implements ContainerNetworks {
  readonly #provisioner: Provisioner;
  readonly #networks: OwnNetworks;
  readonly #problems: () => ReadonlyMap<string, string>;

  /** @param problems of those that are kept ready, by name */
  constructor(provisioner: Provisioner, networks: OwnNetworks, problems: () => ReadonlyMap<string, string>) {
    this.#problems = problems;
    this.#provisioner = provisioner;
    this.#networks = networks;
  }

  async list(): Promise<NetworkInfo[]> {
    const ids = await this.#containerIds();
    const infos: NetworkInfo[] = [];
    for (const network of await this.#networks.list()) infos.push(await this.#info(network, ids));
    const known = new Set(infos.map(({ name }) => name));
    for (const [name, { internal }] of BUILT_IN)
      if (!known.has(name))
        infos.push({ name, isConfigured: false, internal, containers: [], ready: 0, ...this.#problem(name) });
    return infos.sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  async get(name: string): Promise<NetworkInfo | undefined> {
    checkArgument('networks.get', 'name', text, name);
    return (await this.list()).find((one) => one.name === name);
  }

  async create(name: string, options: NewNetwork = {}): Promise<NetworkInfo> {
    checkArgument('networks.create', 'name', text, name);
    const own = takeOptions('networks.create', NEW_NETWORK, options);
    return this.#info(await this.#networks.create(name, own), new Map());
  }

  async remove(name: string): Promise<boolean> {
    checkArgument('networks.remove', 'name', text, name);
    return this.#networks.remove(name);
  }

  #problem(name: string): Pick<NetworkInfo, 'problem'> {
    const problem = this.#problems().get(name);
    return problem === undefined ? {} : { problem };
  }

  async #containerIds(): Promise<ReadonlyMap<string, string>> {
    const launches = await this.#provisioner.launches.list();
    return new Map(launches.map(({ id, containerId }) => [id, containerId]));
  }

  async #info(network: Network, ids: ReadonlyMap<string, string>): Promise<NetworkInfo> {
    const users = await this.#networks.users(network.name);
    const isWaiting = ({ holder }: ConnectionRecord) => holder === undefined;
    return {
      name: network.name,
      driver: network.driver,
      isConfigured: network.kind === 'configured',
      ...(network.kind === 'own'
        ? {
            ...{ internal: network.internal, subnet: network.subnet, gateway: network.gateway },
            interface: network.bridge,
          }
        : {}),
      containers: users
        .filter((one) => !isWaiting(one))
        .map(({ holder = '', note: { address, ports, names } }) => ({
          containerId: ids.get(holder),
          address,
          ports,
          names,
        })),
      ready: users.filter((one) => isWaiting(one) && one.note.state === 'ready').length,
      ...this.#problem(network.name),
    };
  }
}
