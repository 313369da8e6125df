/**
 * The part of a runtime's `config.json` that is written here.
 * @see OCI runtime-spec, config.md and config-linux.md
 */
export interface RuntimeSpecConfig {
  readonly ociVersion: string;
  readonly process: RuntimeSpecProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname: string;
  /** In the order in which they are mounted. */
  readonly mounts: readonly RuntimeSpecMount[];
  readonly linux: RuntimeSpecLinux;
  readonly hooks?: Readonly<Record<string, readonly RuntimeSpecHook[]>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface RuntimeSpecHook {
  readonly path: string;
  readonly args?: readonly string[] | undefined;
  readonly env?: readonly string[] | undefined;
  readonly timeout?: number | undefined;
}

export interface RuntimeSpecProcess {
  readonly terminal: boolean;
  /** Of the terminal, in characters. */
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly user: {
    readonly uid: number;
    readonly gid: number;
    readonly additionalGids: readonly number[];
    readonly umask: number;
  };
  readonly args: readonly string[];
  /** `NAME=value` */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: RuntimeSpecCapabilities;
  readonly noNewPrivileges: boolean;
  readonly rlimits?: readonly RuntimeSpecRlimit[];
}

/** Names with `CAP_`. */
export interface RuntimeSpecCapabilities {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly ambient: readonly string[];
}

export interface RuntimeSpecRlimit {
  /** `RLIMIT_NOFILE` */
  readonly type: string;
  /** As a bigint where it is more than a number of JavaScript holds exactly, as "no limit" is. */
  readonly soft: number | bigint;
  readonly hard: number | bigint;
}

export interface RuntimeSpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface RuntimeSpecLinux {
  readonly cgroupsPath?: string;
  readonly namespaces: readonly { readonly type: string; readonly path?: string }[];
  readonly resources: RuntimeSpecResources;
  readonly devices?: readonly RuntimeSpecDevice[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly seccomp?: object;
}

export interface RuntimeSpecResources {
  /** Later ones count more. */
  readonly devices: readonly RuntimeSpecDeviceRule[];
  readonly pids: { readonly limit: number };
  /** Bytes; `swap` is memory and swap together. */
  readonly memory?: { readonly limit: number; readonly swap?: number };
  /** Quota and period in microseconds; `cpus` as `0-2,7`. */
  readonly cpu?: { readonly quota?: number; readonly period?: number; readonly cpus?: string };
  readonly blockIO?: RuntimeSpecBlockIo;
}

export interface RuntimeSpecBlockIo {
  readonly throttleReadBpsDevice?: readonly RuntimeSpecRate[];
  readonly throttleWriteBpsDevice?: readonly RuntimeSpecRate[];
  readonly throttleReadIOPSDevice?: readonly RuntimeSpecRate[];
  readonly throttleWriteIOPSDevice?: readonly RuntimeSpecRate[];
}

/** In a second. */
export interface RuntimeSpecRate {
  readonly major: number;
  readonly minor: number;
  readonly rate: number;
}

export interface RuntimeSpecDevice {
  readonly path: string;
  readonly type: 'b' | 'c' | 'p';
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface RuntimeSpecDeviceRule {
  readonly allow: boolean;
  readonly type?: 'a' | 'b' | 'c';
  readonly major?: number;
  readonly minor?: number;
  /** Of `rwm`. */
  readonly access: string;
}
