import { isIP } from 'node:net';
import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import type { LaunchState, Provisioner } from '../../index.js';
import { hostNameOf } from '../bundle/host-name.js';
import type { IsolatedLaunch, IsolatedSpec, Isolator } from '../isolators/isolator.js';
import type { LaunchSpec } from '../launch-spec.js';
import type { ConnectionRecord } from './connection-note.js';
import type { Connections, WantedConnection } from './connections.js';
import { isNamespace } from './namespaces.js';
import type { JoinedNetwork, Network } from './network.js';
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
const TAKEN = ['ERR_PORT_IN_USE', 'ERR_ADDRESS_IN_USE', 'ERR_NETWORK_FULL', 'ERR_NETWORK_NOT_FOUND'] as const;
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
    // As with Docker: whoever publishes a port wants a network that has some.
    const mode = networkModeOf(spec.network ?? ((spec.ports ?? []).length > 0 ? 'bridge' : 'none'));
    if (mode.kind !== 'network') requireNothingMore(spec);
    if (mode.kind === 'none' || mode.kind === 'host') return isolated;
    if (mode.kind === 'namespace') return { ...isolated, network: namespaceOfOthers(mode.path) };
    const find = async () => this.#wanted(launch, spec, await this.#options.networks.find(mode.name));
    const connection = await this.#connection(launch, await find(), signal).catch(async (error) => {
      if (!isProvisionerError(error, ...TAKEN)) throw error;
      // Who has just ended is perhaps on its way out, and has gone by now; a network that has just been removed is perhaps made anew.
      await this.#freeOver();
      return this.#connection(launch, await find(), signal);
    });
    return { ...isolated, network: await this.#joined(connection) };
  }

  /** @throws ProvisionerError `ERR_BAD_OPTION` */
  #wanted(launch: IsolatedLaunch, spec: LaunchSpec, network: Network): WantedConnection {
    const { address, ports = [], networkAliases = [] } = spec;
    const isOwn = network.kind === 'own';
    if (isOwn && network.internal && ports.length > 0) throw publishesNothing(network.name);
    const tellsNames = isOwn && this.#options.tellsNames();
    if (!tellsNames && networkAliases.length > 0) throw tellsNoNames(network.name);
    const names = namesOf(launch, spec);
    return {
      network,
      address,
      ports: checkedPorts(ports),
      names: tellsNames ? names : [],
      dns: checkedServers(spec.dns ?? []),
    };
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
    // One that cannot be taken away is no reason for what another one wants.
    for (const one of over) await connections.free(one).catch(() => undefined);
  }

  async #joined({ name: id, note }: ConnectionRecord): Promise<JoinedNetwork> {
    const { network, address, gateway, ports } = note;
    const isOwn = network.kind === 'own';
    // Where nobody listens there, they are asked for elsewhere.
    const isTold = note.names.length > 0 && (await this.#options.connections.renewNames(network));
    return {
      name: network.name,
      path: this.#options.connections.path(id),
      address,
      hostAddress: isOwn && network.internal ? undefined : gateway,
      nameServers: isTold && gateway !== undefined ? [gateway] : 'machine',
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
  const wrong = dns.find((address) => isIP(address) === 0 || address.includes('%'));
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

function tellsNoNames(network: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `in the network ${network} nobody is known by name`, {
    hint: 'leave the names out; networks that are made here have them where aardvark-dns is installed',
    details: { network },
  });
}

/** Also with what people write that no host name may have. */
const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/;
/** What means the same everywhere. */
const KNOWN_NAMES = new Set(['localhost', 'host.containers.internal']);
const isName = (text: string) => NAME.test(text) && isIP(text) === 0 && !KNOWN_NAMES.has(text.toLowerCase());

/** @throws ProvisionerError `ERR_BAD_OPTION` */
function namesOf({ id, containerId }: IsolatedLaunch, { hostname, networkAliases = [] }: LaunchSpec): string[] {
  const wrong = networkAliases.find((name) => !isName(name));
  if (wrong !== undefined) {
    throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(wrong)} cannot be a name in a network`, {
      hint: 'use letters, digits, - and _, with dots between the parts; not what means something else, such as localhost',
      details: { name: wrong },
    });
  }
  const names = [containerId, hostNameOf(hostname, containerId, id), ...networkAliases].filter(isName);
  return [...new Set(names.map((name) => name.toLowerCase()))];
}
