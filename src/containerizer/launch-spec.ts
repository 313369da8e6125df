import type { PortSpec } from './networks/network.js';

/** What a container is to run, and how. What is left out is taken from the image, or is the secure default. */
export interface LaunchSpec {
  /** Replaces the image's command; the arguments of its entrypoint. */
  readonly command?: readonly string[] | undefined;
  /** Replaces the image's entrypoint, and its command; an empty list is none. */
  readonly entrypoint?: readonly string[] | undefined;
  /** Beside the image's variables, which these replace by name. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Absolute in the container. It is made where it is missing. */
  readonly workingDir?: string | undefined;
  /** `user`, `uid`, `user:group`, `uid:gid`: as in the image's config. */
  readonly user?: string | undefined;
  /** Default: the last part of the container id, cut to what a host name may be. */
  readonly hostname?: string | undefined;
  readonly mounts?: readonly MountSpec[] | undefined;
  /** Files of this machine, absolute, by name: the program finds copies of them as `/run/secrets/NAME`, which stand in no record and on no disk. */
  readonly secrets?: Readonly<Record<string, string>> | undefined;
  /** The container may not write its root filesystem; `/tmp`, `/var/tmp` and `/run` are tmpfs then. */
  readonly readOnly?: boolean | undefined;
  readonly limits?: LaunchLimits | undefined;
  readonly addCapabilities?: readonly string[] | undefined;
  readonly dropCapabilities?: readonly string[] | undefined;
  /** Default: true. */
  readonly noNewPrivileges?: boolean | undefined;
  /** `default`, `unconfined`, or the absolute path of a profile as Docker and podman have them. */
  readonly seccomp?: string | undefined;
  /**
   * `none`: a loopback interface and nothing else. `host`: the host's. `netns:PATH`: a namespace that somebody else has made. Else the name of a network: `bridge` and `internal` are there by themselves, the latter
   * without a way out. Default: `none`.
   */
  readonly network?: string | undefined;
  /** Ports of the program that are to be reached on this machine. */
  readonly ports?: readonly PortSpec[] | undefined;
  /** Its address in the network. Default: one that is free. */
  readonly address?: string | undefined;
  /** What it is called in the network, beside its container id and host name. */
  readonly networkAliases?: readonly string[] | undefined;
  /** `NAME`: soft and hard; as in setrlimit(2), without `RLIMIT_`, small letters: `nofile`. */
  readonly ulimits?: Readonly<Record<string, { readonly soft: number; readonly hard: number }>> | undefined;
  /** Lines of /etc/hosts: name → address; `host-gateway` is refused without a network. */
  readonly addHosts?: Readonly<Record<string, string>> | undefined;
  readonly dns?: readonly string[] | undefined;
  /** A small init (catatonit or tini of the host) as process 1. `idle`: catatonit alone, which waits: no program is run but what `exec` runs. Default: false. */
  readonly init?: boolean | 'idle' | undefined;
  /** Asked to stop with this one; default: the image's, else SIGTERM. */
  readonly stopSignal?: string | undefined;
  /** The program has a terminal of this size as all its standard streams, and `TERM` says `xterm` unless something else says otherwise. Default: none. */
  readonly terminal?: TerminalSize | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Devices of this machine, beside those that every container has. They are looked up at each launch. None may be at, below or above the target of a mount, but for a bind of itself. */
  readonly devices?: readonly DeviceSpec[] | undefined;
  /** Devices that CDI files describe (`/etc/cdi`, `/var/run/cdi`), by their names: `nvidia.com/gpu=0`. */
  readonly cdiDevices?: readonly string[] | undefined;
  /** What no other container of the store has from its start to its end. It is given what it leases. */
  readonly leases?: LeaseSpec | undefined;
}

/** All of it is taken in one step, or nothing. */
export interface LeaseSpec {
  /** So many processors, or which, such as `0-2,7`: they are its `cpuset`. */
  readonly cpus?: number | string | undefined;
  /** By absolute path, or by CDI name. Whatever it is called, a device is leased once. */
  readonly devices?: readonly string[] | undefined;
  /** So many of those that CDI files describe of a kind: `{ 'nvidia.com/gpu': 2 }`. */
  readonly deviceClasses?: Readonly<Record<string, number>> | undefined;
}

export interface DeviceSpec {
  /** Absolute on this machine; a directory stands for all devices in it and below, symlinks left out. */
  readonly source: string;
  /** Absolute in the container, below `/dev`. Default: as the source. */
  readonly target?: string | undefined;
  /** Of `rwm`: may be read, may be written, nodes of it may be made. Default: all. What each container may use anyway it may use by each name. */
  readonly access?: string | undefined;
}

/** In characters, 1 to 65535 each. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}
export interface MountSpec {
  readonly type: 'bind' | 'tmpfs' | 'volume';
  /** Of a bind: absolute on the host, must exist. Of a volume: its name; one without a name goes with the container. */
  readonly source?: string | undefined;
  /** Absolute in the container. */
  readonly target: string;
  readonly readOnly?: boolean | undefined;
  /** Of a tmpfs. Default: half of the memory, as the kernel has it. */
  readonly sizeBytes?: number | undefined;
  /** Of a tmpfs, octal number. Default: 0o1777. */
  readonly mode?: number | undefined;
  /** Programs on it may be executed. Default of a tmpfs: false, of others: true. */
  readonly exec?: boolean | undefined;
}
export interface LaunchLimits {
  /** At least 6 MiB. */
  readonly memoryBytes?: number | undefined;
  /** Memory and swap together; default: as much as memory, so no swap. -1: as much swap as there is. */
  readonly memorySwapBytes?: number | undefined;
  /** Such as 1.5. */
  readonly cpus?: number | undefined;
  /** Such as `0-2,7`. */
  readonly cpuset?: string | undefined;
  /** Processes and threads. Default: 4096. -1: no limit. */
  readonly pids?: number | undefined;
  /** How fast disks of this machine may be read and written. Those that are not named have no limit. */
  readonly io?: readonly IoLimit[] | undefined;
  /**
   * Of what is written to its root filesystem, to its own `/etc/hosts`, `hostname` and `resolv.conf`, and to volumes without a name, as long as the container is there; at least 1 MiB. What its image has brought does not count. Kept by project quotas where the store's file system has them, else
   * by the processes that watch it, which end what has written more: see `Launch.diskLimit`.
   */
  readonly diskBytes?: number | undefined;
  /**
   * Where what counts for `diskBytes` goes. `memory`: all but its own files in `/etc` goes to a tmpfs of its own, which keeps the limit to the byte, whoever lives; it takes memory as long as the container is there, which counts for
   * `memoryBytes` where its program has written it, and it is gone with a reboot. Only where the root filesystem is made by overlay, and from the launch on. Default: `disk`.
   */
  readonly diskOn?: 'disk' | 'memory' | undefined;
}

/** Whole numbers, above 0; for `update` 0 is no limit any more, and what is left out stays. */
export interface IoLimit {
  /** Absolute path of a whole disk, a block device. It is looked up at each start. */
  readonly device: string;
  /** Bytes in a second. */
  readonly readBps?: number | undefined;
  readonly writeBps?: number | undefined;
  /** Operations in a second. */
  readonly readIops?: number | undefined;
  readonly writeIops?: number | undefined;
}
