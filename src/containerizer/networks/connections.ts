import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../base/crash-points.js';
import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { ensureOwnDirectory } from '../../base/own-files.js';
import type { Provisioner } from '../../index.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import { takeAddress } from './addresses.js';
import { type ConnectionNote, type ConnectionRecord, connectionOf, NAMESPACE } from './connection-note.js';
import { closeBridge } from './drivers/bridges.js';
import type { DriversHere } from './drivers/drivers-here.js';
import type { NameServer } from './names/name-server.js';
import type { Namespaces } from './namespaces.js';
import type { Network, PortSpec } from './network.js';
import type { OwnNetworks } from './own-networks.js';
import { takePorts } from './ports.js';

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
  readonly syscalls: Syscalls;
  readonly bootId: string;
  readonly networks: OwnNetworks;
  readonly namespaces: Namespaces;
  readonly drivers: DriversHere;
  /** Undefined where this machine has none. */
  readonly nameServer: () => NameServer | undefined;
  /** A directory of this boot, and a file in it that whoever runs a driver locks, of whatever store. Absolute. */
  readonly lockDirectory: string;
  readonly lockFile: string;
}

/** Milliseconds between looks whether a driver's turn has come; it takes a tenth of a second. */
const LOOK_AGAIN = 5;

/**
 * Namespaces that are connected to networks, from the record that comes before all else to the record that goes last:
 *
 *     record `making` ─► address, ports ─► namespace ─► driver ─► record `ready` ─► names
 *     driver ─► namespace ─► address, ports ─► record ─► names
 *
 * Drivers work one after the other, for all stores of the machine: they look for rules of theirs before they make them, and two at a time make them twice.
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
      // What cannot be taken back now, the next recovery takes.
      await this.free({ ...record, note }).catch(() => undefined);
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
    // It may have been removed before this was recorded.
    if (isOwn && (await networks.recorded(network.name))?.subnet !== network.subnet)
      throw removedMeanwhile(network.name);
    const address = isOwn ? await takeAddress(provisioner, network, taker, wantedAddress) : wantedAddress;
    const ports = await takePorts(provisioner, taker, wantedPorts);
    let now = await this.#note(record, { ...record.note, address, ports });
    crashPoint('network.addressed');
    const namespace = await namespaces.make(id);
    crashPoint('network.namespaceMade');
    throwIfAborted(signal);
    const connected = await this.#inTurn(signal, async () => {
      const driver = drivers.named(network.driver);
      const done = await driver.connect({ id, namespace, network, address, ports }, signal);
      if (isOwn && network.internal) closeBridge(network.bridge);
      return done;
    });
    crashPoint('network.connected');
    const { result } = connected;
    now = await this.#note(now, {
      ...now.note,
      ...{ state: 'ready', address: connected.address, gateway: connected.gateway },
      ...(result === undefined ? {} : { result }),
    });
    crashPoint('network.ready');
    if (now.note.names.length > 0) await this.renewNames(network);
    return now;
  }

  /** Where the namespace of a connection is seen; absolute. */
  path(id: string): string {
    return this.#options.namespaces.path(id);
  }

  async #note(record: ConnectionRecord, note: ConnectionNote): Promise<ConnectionRecord> {
    const details = JSON.stringify(note);
    const { holdings } = this.#options.provisioner;
    await holdings.change(record, { from: record.holder ?? null, details });
    return { ...record, details, note };
  }

  /** One that is ready, and that nobody has; the names and servers are known from now on. @returns undefined when there is none */
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
      if (names.length > 0) await this.renewNames(network);
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
    return (await holdings.list({ kind: NAMESPACE, holder })).map(connectionOf);
  }

  /** Takes one off its network, and away. What runs in it loses its network. Safe to repeat. @throws ProvisionerError `ERR_NETWORK_FAILED`; the record stays then */
  async free(record: ConnectionRecord): Promise<void> {
    const { name: id } = record;
    await this.#inTurn(undefined, async () => {
      const { provisioner, bootId, namespaces, drivers } = this.#options;
      const now = (await this.list()).find(({ name }) => name === id);
      // Somebody else was quicker, or has claimed it.
      if (now === undefined || now.holder !== record.holder) return;
      const { network, address, ports, result } = now.note;
      const isOfThisBoot = now.bootId === bootId;
      const namespace = isOfThisBoot && namespaces.isThere(id) ? namespaces.path(id) : undefined;
      // What the kernel has of it is gone with its boot; plugins have records of their own.
      const isKnown = network.driver === 'cni' || isOfThisBoot;
      const isBegun = network.kind === 'configured' || address !== undefined;
      if (isKnown && isBegun) {
        const driver = drivers.named(network.driver);
        await driver.disconnect({ id, namespace, network, address, ports, result });
      }
      crashPoint('network.disconnected');
      if (isOfThisBoot) await namespaces.remove(id);
      crashPoint('network.namespaceRemoved');
      await provisioner.holdings.release(await provisioner.holdings.list({ holder: id }));
      await provisioner.holdings.release([now]);
      crashPoint('network.released');
    });
    if (record.note.names.length > 0) await this.renewNames(record.note.network);
  }

  /** Names that are not known as they should be are no reason to keep anybody from anything: the next change tells them. */
  async renewNames(network: Network): Promise<void> {
    if (network.kind !== 'own') return;
    await this.#options
      .nameServer()
      ?.renew(network, async () =>
        (await this.list()).filter(
          ({ note, bootId }) => note.network.name === network.name && bootId === this.#options.bootId,
        ),
      )
      .catch(() => undefined);
  }

  /** Takes away namespaces of this boot that no record names. @returns their ids */
  async sweep(): Promise<string[]> {
    return this.#inTurn(undefined, async () => {
      const { namespaces } = this.#options;
      // In this order: one that is being made is recorded before it is there.
      const there = await namespaces.list();
      const recorded = new Set((await this.list()).map(({ name }) => name));
      const left = there.filter((id) => !recorded.has(id));
      for (const id of left) await namespaces.remove(id);
      return left;
    });
  }

  async #inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const { lockDirectory, lockFile, syscalls } = this.#options;
    ensureOwnDirectory(lockDirectory);
    const lock = syscalls.openLockFile(lockFile);
    try {
      while (!lock.tryLock('exclusive')) {
        throwIfAborted(signal);
        await sleep(LOOK_AGAIN);
      }
      return await work();
    } finally {
      lock.close();
    }
  }
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
