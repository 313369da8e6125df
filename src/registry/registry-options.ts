import { flag, type OptionTable, optionsOf, path, text, whole } from '../base/options/check-options.js';

/** How registries are reached. The files and directories that a call names itself must exist, though it may come to ask no registry. */
export interface RegistryOptions {
  /**
   * A `config.json` of Docker or an `auth.json` of podman with credentials; it must exist.
   * Default: `$REGISTRY_AUTH_FILE`; else `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json` and
   * `$DOCKER_CONFIG/config.json` (`~/.docker/config.json`), the first that knows the registry.
   */
  readonly authFile?: string | undefined;
  /** For the registry that a reference names, instead of what files say; mirrors never see them. Default: none. */
  readonly credentials?: UserCredentials | undefined;
  /**
   * False trusts any certificate, and speaks plain HTTP to a registry that does not speak TLS: whoever sits between can then read the
   * credentials and answer as they like where a tag is asked for. Default: true.
   */
  readonly tlsVerify?: boolean | undefined;
  /**
   * A directory with `*.crt` (authorities to trust, besides the usual ones), and `*.cert` with `*.key` of the same name (to identify oneself),
   * for the registry that a reference names. Default: what `hostsDir` has.
   */
  readonly certDir?: string | undefined;
  /** A directory with `HOST/hosts.toml` files in containerd's form; read again for each pull. Default: `/etc/containerd/certs.d`. */
  readonly hostsDir?: string | undefined;
  /** Milliseconds without a byte after which a connection is given up and made anew. Default: 30 000. */
  readonly stallTimeout?: number | undefined;
  /**
   * Bytes a second that have to come on average of what is being read, over four times `stallTimeout` in which nothing could be done but wait; else the connection counts as stalled. 0 lets a
   * registry be as slow as it likes. Default: 512, which are 60 KiB in two minutes.
   */
  readonly minBytesPerSecond?: number | undefined;
  /** Further attempts after one that came to nothing. One that brought bytes does not count. Default: 5. */
  readonly retries?: number | undefined;
  /** Connections to one host over which layers are fetched, at most: a large layer may have several. Default: 10. */
  readonly connectionsPerHost?: number | undefined;
}

export interface UserCredentials {
  readonly username: string;
  readonly password: string;
}

export const DEFAULT_HOSTS_DIR = '/etc/containerd/certs.d';
export const DEFAULT_STALL_TIMEOUT = 30_000;
export const DEFAULT_MIN_BYTES_PER_SECOND = 512;
export const DEFAULT_RETRIES = 5;
export const DEFAULT_CONNECTIONS_PER_HOST = 10;

export const REGISTRY_OPTIONS: OptionTable<RegistryOptions> = {
  authFile: path,
  credentials: optionsOf<UserCredentials>({ username: text, password: text }, 'username', 'password'),
  tlsVerify: flag,
  certDir: path,
  hostsDir: path,
  stallTimeout: whole(100, 24 * 60 * 60 * 1000),
  minBytesPerSecond: whole(0, 1_000_000_000),
  retries: whole(0, 100),
  connectionsPerHost: whole(1, 64),
};
