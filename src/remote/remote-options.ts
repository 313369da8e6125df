import {
  abortSignal,
  callback,
  limit,
  type OptionTable,
  optionsOf,
  path,
  text,
} from '../base/options/check-options.js';
import type { ProvisionerEvents } from '../events.js';
import { REGISTRY_OPTIONS, type RegistryOptions, type UserCredentials } from '../registry/registry-options.js';

/** How a host that is asked by name and password itself is reached: there is nothing to be looked up. */
export type LoginRegistryOptions = Pick<
  RegistryOptions,
  'tlsVerify' | 'certDir' | 'hostsDir' | 'stallTimeout' | 'minBytesPerSecond' | 'retries'
>;

const { tlsVerify, certDir, hostsDir, stallTimeout, minBytesPerSecond, retries } = REGISTRY_OPTIONS;
export const LOGIN_REGISTRY_OPTIONS: OptionTable<LoginRegistryOptions> = {
  tlsVerify,
  certDir,
  hostsDir,
  stallTimeout,
  minBytesPerSecond,
  retries,
};

export const CREDENTIALS = optionsOf<UserCredentials>({ username: text, password: text }, 'username', 'password');

export interface LoginFileOptions {
  /**
   * The file with credentials; a login makes it, with its directory. Default: `$REGISTRY_AUTH_FILE`; else podman's of this session: `$XDG_RUNTIME_DIR/containers/auth.json`,
   * `/run/containers/0/auth.json` for root, `/run/user/UID/containers/auth.json`; where there is none, `$XDG_CONFIG_HOME/containers/auth.json`.
   */
  readonly authFile?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const LOGIN_FILE_OPTIONS: OptionTable<LoginFileOptions> = { authFile: path, signal: abortSignal };

export interface LoginOptions extends LoginFileOptions {
  /** How the registry is reached. Default: see `RegistryOptions`. */
  readonly registry?: LoginRegistryOptions | undefined;
}

export const LOGIN_OPTIONS: OptionTable<LoginOptions> = {
  ...LOGIN_FILE_OPTIONS,
  registry: optionsOf(LOGIN_REGISTRY_OPTIONS),
};

/** What was survived, as `ProvisionerEvents` tells it. */
export type RemoteWarning = ProvisionerEvents['warning'][0];

/** Of calls that look at what is elsewhere. */
export interface RemoteOptions {
  /** How registries are reached. Default: see `RegistryOptions`. */
  readonly registry?: RegistryOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told what was survived, such as a mirror that failed. */
  readonly onWarning?: ((warning: RemoteWarning) => void) | undefined;
}

const REMOTE_OPTIONS: OptionTable<RemoteOptions> = {
  registry: optionsOf(REGISTRY_OPTIONS),
  signal: abortSignal,
  onWarning: callback,
};

export interface ListTagsOptions extends RemoteOptions {
  /** So many are enough; no further page is asked for then. Default: all. */
  readonly limit?: number | undefined;
}

export const LIST_TAGS_OPTIONS: OptionTable<ListTagsOptions> = { ...REMOTE_OPTIONS, limit };

export interface InspectRemoteOptions extends RemoteOptions {
  /** `OS/ARCHITECTURE[/VARIANT]`. Default: this machine's, for Linux. */
  readonly platform?: string | undefined;
}

export const INSPECT_REMOTE_OPTIONS: OptionTable<InspectRemoteOptions> = { ...REMOTE_OPTIONS, platform: text };
