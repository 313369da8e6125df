import { randomBytes } from 'node:crypto';
import { crashPoint } from '../../base/crash-points.js';
import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import type { Provisioner } from '../../index.js';
import { takeAddress } from './addresses.js';
import { type ConnectionNote, type ConnectionRecord, connectionsOf, LEAVING, NAMESPACE } from './connection-note.js';
import { closeBridge, withoutIpv6 } from './drivers/bridges.js';
import type { DriversHere } from './drivers/drivers-here.js';
import type { MachinePorts } from './machine-ports.js';
import type { MachineTurn } from './machine-turn.js';
import type { NameServer } from './names/name-server.js';
import type { Namespaces } from './namespaces.js';
import type { Network, OwnNetwork, PortMapping, PortSpec } from './network.js';
import type { OwnNetworks } from './own-networks.js';
import { portInUse, takePorts } from './ports.js';
import { requireFree } from './routes.js';

/** What a connection is to be. */
export interface WantedConnection {
  readonly network: Network;
  readonly address?: string | undefined;
  readonly ports: readonly PortSpec[];
  readonly names: readonly string[];
  readonly dns: readonly string[];
}

export interface ConnectionsOptions {
  readonly provisioner: Provisioner;
  readonly bootId: string;
  readonly networks: OwnNetworks;
  readonly namespaces: Namespaces;
  readonly drivers: DriversHere;
  /** Undefined where this machine has none. */
  readonly nameServer: () => NameServer | undefined;
  readonly turn: MachineTurn;
  readonly ports: MachinePorts;
}

/** Milliseconds until it is somebody's turn; and of one who has given up already. */
const PATIENCE = 60_000;
const HURRIED = 1000;

/**
 * Namespaces that are connected to networks, from the record that comes before all else to the record that goes last:
 *
 *     record `making` ─► address, ports ─► namespace ─► driver ─► record `ready` ─► names
 *     driver ─► namespace ─► address, ports ─► record ─► names
 *
 * All that a driver does is done in the machine's turn, and what it does it for is looked at then.
 */
export class Connections {
  readonly #options: ConnectionsOptions;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /**
   * @param holder a launch; undefined: it waits for one
   * @throws ProvisionerError `ERR_NETWORK_FAILED`, `ERR_NETWORK_NOT_FOUND`, `ERR_NETWORK_FULL`, `ERR_NETWORK_UNSUPPORTED`, `ERR_ADDRESS_IN_USE`, `ERR_PORT_IN_USE`, `ERR_ABORTED`; then nothing is left of it
   */
  async connect(
    holder: string | undefined,
    wanted: WantedConnection,
    signal: AbortSignal | undefined,
  ): Promise<ConnectionRecord> {
    const { provisioner, bootId } = this.#options;
    const { network, names, dns } = wanted;
    const id = randomBytes(16).toString('hex');
    const note: ConnectionNote = {
      ...{ network, state: 'making', address: undefined, gateway: undefined },
      ...{ ports: [], names, dns },
    };
    const { taken } = await provisioner.holdings.take({ holder, bootId }, [
      { kind: NAMESPACE, names: [id], details: JSON.stringify(note) },
    ]);
    const [record] = taken ?? [];
    if (record === undefined) throw new TypeError('a random id is taken');
    crashPoint('network.recorded');
    try {
      return await this.#make({ ...record, note }, wanted, signal);
    } catch (error) {
      // What cannot be taken back now, the next recovery takes. Who has given up does not wait for others.
      await this.free({ ...record, note }, signal?.aborted ? HURRIED : PATIENCE).catch(() => undefined);
      throw error;
    }
  }

  async #make(
    record: ConnectionRecord,
    { network, address: wantedAddress, ports: wantedPorts }: WantedConnection,
    signal: AbortSignal | undefined,
  ): Promise<ConnectionRecord> {
    const { provisioner, bootId, networks, namespaces, drivers } = this.#options;
    const { name: id } = record;
    const taker = { holder: id, bootId };
    const isOwn = network.kind === 'own';
    const address = isOwn ? await takeAddress(provisioner, network, taker, wantedAddress) : wantedAddress;
    const ports = await takePorts(provisioner, taker, wantedPorts);
    let now = await this.#note(record, { ...record.note, address, ports });
    crashPoint('network.addressed');
    const namespace = await namespaces.make(id);
    crashPoint('network.namespaceMade');
    throwIfAborted(signal);
    now = await this.#options.turn.take(
      async () => {
        // Both may have been taken away since it was recorded: who does that has the turn.
        await this.#requireStill(now);
        if (isOwn) await requireThere(networks, network);
        this.#takeOnMachine(namespace, network, ports);
        const driver = drivers.named(network.driver);
        now = await this.#note(now, { ...now.note, state: 'connecting' });
        const { result, ...connected } = await driver.connect({ id, namespace, network, address, ports }, signal);
        if (isOwn) withoutIpv6(network.bridge);
        if (isOwn && network.internal) closeBridge(network.bridge);
        crashPoint('network.connected');
        const note = { ...now.note, ...connected, state: 'ready' as const };
        return this.#note(now, result === undefined ? note : { ...note, result });
      },
      PATIENCE,
      signal,
    );
    crashPoint('network.ready');
    return now;
  }

  /** Where the namespace of a connection is seen; absolute. */
  path(id: string): string {
    return this.#options.namespaces.path(id);
  }

  async #note(record: ConnectionRecord, note: ConnectionNote): Promise<ConnectionRecord> {
    const details = JSON.stringify(note);
    const { holdings } = this.#options.provisioner;
    if (!(await holdings.change(record, { from: record.holder ?? null, details }))) throw endedMeanwhile(note);
    return { ...record, details, note };
  }

  async #requireStill(record: ConnectionRecord): Promise<void> {
    const now = (await this.list()).find(({ name }) => name === record.name);
    if (now?.holder !== record.holder || now === undefined) throw endedMeanwhile(record.note);
  }

  /** What other stores of the machine have is not in the records. */
  #takeOnMachine(namespace: string, network: Network, ports: readonly PortMapping[]): void {
    const taken = this.#options.ports.take(namespace, ports);
    if (taken !== undefined) throw portInUse(taken, 'a container of another store has it');
    if (network.kind === 'own') requireFree(network);
  }

  /** One that is ready, and that nobody has; its names are told with the next `renewNames`. @returns undefined when there is none */
  async claim(
    launchId: string,
    { network, names, dns }: Pick<WantedConnection, 'network' | 'names' | 'dns'>,
  ): Promise<ConnectionRecord | undefined> {
    const { provisioner, bootId, namespaces } = this.#options;
    for (const record of await this.#waiting(network.name)) {
      if (record.bootId !== bootId || !namespaces.isThere(record.name)) continue;
      const note = { ...record.note, names, dns };
      const details = JSON.stringify(note);
      if (!(await provisioner.holdings.change(record, { from: null, holder: launchId, details }))) continue;
      crashPoint('network.claimed');
      return { ...record, holder: launchId, details, note };
    }
    return undefined;
  }

  /** Those that wait to be asked for. */
  async #waiting(network: string): Promise<ConnectionRecord[]> {
    return (await this.list()).filter(
      ({ holder, note }) => holder === undefined && note.state === 'ready' && note.network.name === network,
    );
  }

  /** Those of one launch, or all. */
  async list(holder?: string): Promise<ConnectionRecord[]> {
    const { holdings } = this.#options.provisioner;
    return connectionsOf(await holdings.list({ kind: NAMESPACE, holder }));
  }

  /**
   * Takes one off its network, and away. What runs in it loses its network. Safe to repeat.
   * @param patience milliseconds until its turn comes @throws ProvisionerError `ERR_NETWORK_FAILED`; the record stays then
   */
  async free(record: ConnectionRecord, patience = PATIENCE): Promise<void> {
    const { name: id } = record;
    const { provisioner, bootId, namespaces, ports, turn } = this.#options;
    await turn.take(async () => {
      const now = (await this.list()).find(({ name }) => name === id);
      if (now !== undefined && now.holder !== record.holder && now.holder !== LEAVING) return;
      // From here on nobody claims it.
      if (now !== undefined && now.holder !== LEAVING) {
        if (!(await provisioner.holdings.change(now, { from: now.holder ?? null, holder: LEAVING }))) return;
      }
      if (now !== undefined) await this.#disconnect(now);
      crashPoint('network.disconnected');
      if (record.bootId === bootId) {
        // All ports of the machine are looked through for that.
        if (now === undefined || now.note.ports.length > 0) ports.release(namespaces.path(id));
        await namespaces.remove(id);
      }
      crashPoint('network.namespaceRemoved');
      // Also what was taken for one whose record somebody has taken away meanwhile.
      await provisioner.holdings.release(await provisioner.holdings.list({ holder: id }));
      if (now !== undefined) await provisioner.holdings.release([{ ...now, holder: LEAVING }]);
      crashPoint('network.released');
    }, patience);
    if (record.note.names.length > 0) await this.renewNames(record.note.network);
  }

  async #disconnect({ name: id, bootId, note }: ConnectionRecord): Promise<void> {
    const { namespaces, drivers } = this.#options;
    const { network, address, ports, result, state } = note;
    if (state === 'making') return;
    const isOfThisBoot = bootId === this.#options.bootId;
    const namespace = isOfThisBoot && namespaces.isThere(id) ? namespaces.path(id) : undefined;
    // What the kernel has of it is gone with its boot; plugins have records of their own.
    const isKnown = network.driver === 'cni' || isOfThisBoot;
    if (!isKnown) return;
    await drivers.named(network.driver).disconnect({ id, namespace, network, address, ports, result });
  }

  /**
   * Names that are not known as they should be are no reason to keep anybody from anything: the next change tells them.
   * @returns whether somebody is there who tells them
   */
  async renewNames(network: Network): Promise<boolean> {
    const server = this.#options.nameServer();
    if (network.kind !== 'own' || server === undefined) return false;
    const isOfIt = ({ note, bootId, holder }: ConnectionRecord) =>
      note.network.name === network.name && bootId === this.#options.bootId && holder !== LEAVING;
    try {
      return await server.renew(network, async () => (await this.list()).filter(isOfIt));
    } catch {
      return false;
    }
  }

  /** Takes away namespaces of this boot that no record names. @returns their ids */
  async sweep(): Promise<string[]> {
    const { namespaces, turn } = this.#options;
    return turn.take(async () => {
      // In this order: one that is being made is recorded before it is there.
      const there = await namespaces.list();
      const recorded = new Set((await this.list()).map(({ name }) => name));
      const left = there.filter((id) => !recorded.has(id));
      for (const id of left) await namespaces.remove(id);
      return left;
    }, PATIENCE);
  }
}

async function requireThere(networks: OwnNetworks, network: OwnNetwork): Promise<void> {
  const now = await networks.recorded(network.name);
  if (now?.subnet !== network.subnet) throw removedMeanwhile(network.name);
}

function endedMeanwhile({ network }: ConnectionNote): ProvisionerError {
  return new ProvisionerError(
    'ERR_START_FAILED',
    `the connection to the network ${network.name} was taken away before it was made`,
    {
      hint: 'somebody has ended or destroyed the container meanwhile',
      details: { network: network.name },
    },
  );
}

function removedMeanwhile(network: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_NETWORK_NOT_FOUND',
    `the network ${network} has just been removed by somebody else`,
    {
      hint: 'make it again, or choose another one: `provisioner network ls`',
      details: { network },
    },
  );
}
