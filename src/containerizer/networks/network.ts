/** A network that containers can be connected to. */
export type Network = OwnNetwork | ConfiguredNetwork;

/** One that this store has made: a bridge of this machine, which is there while something is connected to it. */
export interface OwnNetwork {
  readonly kind: 'own';
  readonly name: string;
  /** What connects to it. */
  readonly driver: 'netavark' | 'cni';
  /** There is no way out of it. */
  readonly internal: boolean;
  /** Such as `10.201.16.0/20`. */
  readonly subnet: string;
  /** The machine's own address there. */
  readonly gateway: string;
  /** The bridge's interface. */
  readonly bridge: string;
}

/** One that a file of an administrator describes. */
export interface ConfiguredNetwork {
  readonly kind: 'configured';
  readonly name: string;
  readonly driver: 'cni';
  /** A list of plugins, as it stands in the file. @see CNI specification 1.0, section 1 */
  readonly configuration: CniList;
}

export const CONFIGURED = { kind: 'configured', driver: 'cni' } as const;

export interface CniList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly CniPlugin[];
}

export interface CniPlugin {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [name: string]: unknown;
}

export const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** A port of a container that is to be reached on this machine. */
export interface PortSpec {
  /** Of the program, 1 to 65535. */
  readonly containerPort: number;
  /** Of this machine. Default: one that is free. */
  readonly hostPort?: number | undefined;
  /** An address of this machine. Default: all. */
  readonly hostAddress?: string | undefined;
  /** Default: `tcp`. */
  readonly protocol?: Protocol | undefined;
}

/** One that is settled. */
export interface PortMapping {
  readonly containerPort: number;
  readonly hostPort: number;
  /** Undefined: all addresses of this machine. */
  readonly hostAddress: string | undefined;
  readonly protocol: Protocol;
}

/** The network namespace of a container, and what its files are to say of it. */
export interface JoinedNetwork {
  /** As the launch has it. */
  readonly name: string;
  /** Absolute, of a namespace that is there. */
  readonly path: string;
  /** The container's own address; undefined where it is not known. */
  readonly address: string | undefined;
  /** This machine's own address there, where the machine may be spoken to by it. */
  readonly hostAddress: string | undefined;
  /** Whom it asks for names. `machine`: whom the machine asks. */
  readonly nameServers: readonly string[] | 'machine';
  /** There is no way out of it. */
  readonly isInternal: boolean;
  readonly ports: readonly PortMapping[];
}
