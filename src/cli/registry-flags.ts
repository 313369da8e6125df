import { type Command, Option } from 'commander';
import type { RegistryOptions } from '../index.js';
import { UsageError } from './usage-error.js';

/** How registries are reached, as podman and skopeo spell it. */
export interface RegistryFlags extends ConnectionFlags {
  readonly authfile?: string;
  readonly creds?: string;
}

export interface ConnectionFlags {
  readonly tlsVerify?: 'true' | 'false';
  readonly certDir?: string;
  readonly hostsDir?: string;
}

export function addRegistryFlags(command: Command): void {
  addAuthFileFlag(command, 'credentials for registries (environment: REGISTRY_AUTH_FILE)').option(
    '--creds <user:password>',
    'credentials for the registry; others on this machine can see them while it runs',
  );
  addConnectionFlags(command);
}

export function addAuthFileFlag(command: Command, description: string): Command {
  return command.option('--authfile <file>', description);
}

/** How a registry is reached, whoever we are. */
export function addConnectionFlags(command: Command): void {
  command
    .addOption(
      new Option(
        '--tls-verify <boolean>',
        'false trusts any certificate and allows plain HTTP (default: true)',
      ).choices(['true', 'false']),
    )
    .option('--cert-dir <dir>', 'certificates: *.crt to trust, *.cert and *.key to identify oneself')
    .option('--hosts-dir <dir>', 'HOST/hosts.toml files with mirrors (default: /etc/containerd/certs.d)');
}

/** @throws UsageError */
export function registryOptions({ authfile, creds, ...connection }: RegistryFlags): RegistryOptions {
  return {
    authFile: authfile,
    credentials: creds === undefined ? undefined : parseCredentials(creds),
    ...connectionOptions(connection),
  };
}

export function connectionOptions({ tlsVerify, certDir, hostsDir }: ConnectionFlags) {
  return { tlsVerify: tlsVerify === undefined ? undefined : tlsVerify === 'true', certDir, hostsDir };
}

function parseCredentials(text: string): RegistryOptions['credentials'] {
  const colon = text.indexOf(':');
  // Not quoted: what stands there may be the password.
  if (colon < 1) throw new UsageError('--creds needs a name and a password', 'write --creds USER:PASSWORD');
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
