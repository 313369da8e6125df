import type { Network, PortMapping } from '../network.js';

/** One namespace at one network, as a driver is told of it: the same when it is connected and when it is taken off. */
export interface Connection {
  /** 32 hex digits. */
  readonly id: string;
  /** Absolute. Undefined: it is gone, as after a reboot. */
  readonly namespace: string | undefined;
  readonly network: Network;
  /** That it is to have; undefined where whoever connects it chooses one. */
  readonly address: string | undefined;
  readonly ports: readonly PortMapping[];
  /** What `connect` has returned; undefined where that is not known. */
  readonly result?: unknown;
}

export interface Connected {
  readonly address: string | undefined;
  readonly gateway: string | undefined;
  /** JSON that whoever takes it off needs. */
  readonly result?: unknown;
}

/**
 * Connects namespaces to networks of this machine, by a program of somebody else: none of the interfaces, routes and rules are made here. Calls for one store come one after the other.
 *
 * Whatever state a `connect` was left in, by a crash of either program or of the machine, `disconnect` takes away all of it that is still there, and may be repeated.
 */
export interface NetworkDriver {
  readonly name: 'netavark' | 'cni';
  /** @throws ProvisionerError `ERR_NETWORK_FAILED`, `ERR_ABORTED` */
  connect(connection: Connection, signal: AbortSignal | undefined): Promise<Connected>;
  /** @throws ProvisionerError `ERR_NETWORK_FAILED` */
  disconnect(connection: Connection): Promise<void>;
}

/** The name of the interface in a container. */
export const CONTAINER_INTERFACE = 'eth0';
