import { isIP } from 'node:net';
import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import type { LaunchState, Provisioner } from '../../index.js';
import { hostNameOf, isHostName } from '../bundle/host-name.js';
import type { IsolatedLaunch, IsolatedSpec, Isolator } from '../isolators/isolator.js';
import type { LaunchSpec } from '../launch-spec.js';
import type { ConnectionRecord } from './connection-note.js';
import type { Connections, WantedConnection } from './connections.js';
import { isNamespace } from './namespaces.js';
import type { JoinedNetwork } from './network.js';
import { networkModeOf } from './network-mode.js';
import type { OwnNetworks } from './own-networks.js';
import { checkedPorts } from './ports.js';
import type { ReadyNetworks } from './ready-networks.js';

export interface NetworkIsolatorOptions {
  readonly provisioner: Provisioner;
  readonly bootId: string;
  readonly connections: Connections;
  readonly networks: OwnNetworks;
  readonly ready: ReadyNetworks;
  /** Whether containers of networks that are made here can ask for each other's names. */
  readonly tellsNames: () => boolean;
  /** Has ends recorded that nobody has seen yet. */
  readonly lookAtAll: () => Promise<unknown>;
}

/** What somebody has who may be gone. */
const TAKEN = ['ERR_PORT_IN_USE', 'ERR_ADDRESS_IN_USE', 'ERR_NETWORK_FULL'] as const;
const UNENDED: readonly LaunchState[] = ['starting', 'created', 'running', 'paused', 'undead'];

/** Gives a launch its network namespace: one that waits for it where nothing about it is special, else one that is made for it. */
export class NetworkIsolator implements Isolator {
  readonly #options: NetworkIsolatorOptions;

  constructor(options: NetworkIsolatorOptions) {
    this.#options = options;
  }

  /** @throws ProvisionerError as `Connections.connect`, `ERR_BAD_OPTION` */
  async prepare(
    launch: IsolatedLaunch,
    isolated: IsolatedSpec,
    signal: AbortSignal | undefined,
  ): Promise<IsolatedSpec> {
    const { spec } = isolated;
    const mode = networkModeOf(spec.network);
    if (mode.kind !== 'network') requireNothingMore(spec);
    if (mode.kind === 'none' || mode.kind === 'host') return isolated;
    if (mode.kind === 'namespace') return { ...isolated, network: namespaceOfOthers(mode.path) };
    const network = await this.#options.networks.find(mode.name);
    const { address, ports = [] } = spec;
    if (network.kind === 'own' && network.internal && ports.length > 0) throw publishesNothing(network.name);
    const wanted: WantedConnection = {
      network,
      address,
      ports: checkedPorts(ports),
      names: this.#options.tellsNames() ? namesOf(launch, spec) : [],
      dns: checkedServers(spec.dns ?? []),
    };
    const connection = await this.#connection(launch, wanted, signal).catch(async (error) => {
      if (!isProvisionerError(error, ...TAKEN)) throw error;
      // Who has just ended is perhaps on its way out, and has gone by now.
      await this.#freeOver();
      return this.#connection(launch, wanted, signal);
    });
    return { ...isolated, network: this.#joined(connection) };
  }

  async #connection(
    launch: IsolatedLaunch,
    wanted: WantedConnection,
    signal: AbortSignal | undefined,
  ): Promise<ConnectionRecord> {
    const { connections, ready } = this.#options;
    if (wanted.address === undefined && wanted.ports.length === 0) {
      const waiting = await connections.claim(launch.id, wanted);
      if (waiting !== undefined) {
        ready.taken();
        return waiting;
      }
    }
    return connections.connect(launch.id, wanted, signal);
  }

  /** Takes away what launches that are over still have. */
  async #freeOver(): Promise<void> {
    const { connections, lookAtAll } = this.#options;
    await lookAtAll();
    const held = await connections.list();
    // In this order: a launch is recorded before it has anything.
    const unended = new Set((await this.#options.provisioner.launches.list({ states: UNENDED })).map(({ id }) => id));
    const over = held.filter(({ holder }) => holder !== undefined && !unended.has(holder));
    for (const one of over) await connections.free(one);
  }

  #joined({ name: id, note }: ConnectionRecord): JoinedNetwork {
    const { network, address, gateway, ports } = note;
    const isOwn = network.kind === 'own';
    return {
      name: network.name,
      path: this.#options.connections.path(id),
      address,
      hostAddress: isOwn && network.internal ? undefined : gateway,
      nameServers: isOwn && gateway !== undefined && this.#options.tellsNames() ? [gateway] : 'machine',
      isInternal: isOwn && network.internal,
      ports,
    };
  }

  async cleanUp({ id }: IsolatedLaunch): Promise<void> {
    const { connections } = this.#options;
    for (const connection of await connections.list(id)) await connections.free(connection);
  }

  async recover(unended: () => Promise<ReadonlySet<string>>): Promise<string[]> {
    const { connections, provisioner, bootId } = this.#options;
    const all = await connections.list();
    const running = await unended();
    const isOver = (one: ConnectionRecord) =>
      one.bootId !== bootId ||
      (one.holder === undefined ? !provisioner.holdings.isAlive(one) : !running.has(one.holder));
    const swept: string[] = [];
    for (const one of all.filter(isOver)) {
      try {
        await connections.free(one);
        swept.push(`network namespace ${one.name}`);
      } catch {
        // What cannot be taken off now is looked at the next time.
      }
    }
    // Whoever died may have been just about to tell that one is gone.
    for (const network of await this.#options.networks.recordedOnes()) await connections.renewNames(network);
    for (const id of await connections.sweep()) swept.push(`network namespace ${id}`);
    return swept;
  }

  async close(): Promise<void> {
    await this.#options.ready.close();
  }
}

/** One that somebody else has made, and keeps. @throws ProvisionerError `ERR_NETWORK_NOT_FOUND` */
export function namespaceOfOthers(path: string): JoinedNetwork {
  if (isNamespace(path)) {
    const nothing = { address: undefined, hostAddress: undefined, isInternal: false, ports: [] };
    return { name: `netns:${path}`, path, nameServers: 'machine', ...nothing };
  }
  throw new ProvisionerError('ERR_NETWORK_NOT_FOUND', `there is no network namespace at ${path}`, {
    hint: 'make it first: `ip netns add NAME` makes /run/netns/NAME',
    details: { path },
  });
}

function requireNothingMore({ network = 'none', ports = [], address, networkAliases = [] }: LaunchSpec): void {
  const asked = [
    ports.length > 0 && 'ports',
    address !== undefined && 'an address',
    networkAliases.length > 0 && 'names',
  ];
  const [what] = asked.filter((one) => one !== false);
  if (what === undefined) return;
  throw new ProvisionerError(
    'ERR_BAD_OPTION',
    `a container with the network ${network} gets no ${what.replace('an ', '')} of its own`,
    {
      hint: 'choose a network for it: `--network bridge`, for instance',
      details: { network },
    },
  );
}

/** @throws ProvisionerError `ERR_BAD_OPTION` */
function checkedServers(dns: readonly string[]): readonly string[] {
  const wrong = dns.find((address) => isIP(address) === 0);
  if (wrong === undefined) return dns;
  throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(wrong)} is no address of a name server`, {
    details: { dns: wrong },
  });
}

function publishesNothing(network: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_BAD_OPTION',
    `the network ${network} publishes no ports: no way leads out of it, or in`,
    {
      hint: 'leave the ports out, or choose a network with a way out: `--network bridge`',
      details: { network },
    },
  );
}

/** @throws ProvisionerError `ERR_BAD_OPTION` */
function namesOf({ id, containerId }: IsolatedLaunch, { hostname, networkAliases = [] }: LaunchSpec): string[] {
  const wrong = networkAliases.find((name) => !isHostName(name));
  if (wrong !== undefined) {
    throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(wrong)} cannot be a name in a network`, {
      hint: 'use letters, digits and -, with dots between the parts',
      details: { name: wrong },
    });
  }
  const names = [containerId, hostNameOf(hostname, containerId, id), ...networkAliases].filter(isHostName);
  return [...new Set(names.map((name) => name.toLowerCase()))];
}
