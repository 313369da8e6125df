import { type Command, Option } from 'commander';
import type { RegistryOptions } from '../index.js';
import { UsageError } from './usage-error.js';

/** How registries are reached, as podman and skopeo spell it. */
export interface RegistryFlags {
  readonly authfile?: string;
  readonly creds?: string;
  readonly tlsVerify?: 'true' | 'false';
  readonly certDir?: string;
  readonly hostsDir?: string;
}

export function addRegistryFlags(command: Command): void {
  command
    .option('--authfile <file>', 'credentials for registries (environment: REGISTRY_AUTH_FILE)')
    .option(
      '--creds <user:password>',
      'credentials for the registry; others on this machine can see them while it runs',
    )
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
export function registryOptions({ authfile, creds, tlsVerify, certDir, hostsDir }: RegistryFlags): RegistryOptions {
  return {
    authFile: authfile,
    credentials: creds === undefined ? undefined : parseCredentials(creds),
    tlsVerify: tlsVerify === undefined ? undefined : tlsVerify === 'true',
    certDir,
    hostsDir,
  };
}

function parseCredentials(text: string): RegistryOptions['credentials'] {
  const colon = text.indexOf(':');
  // Not quoted: what stands there may be the password.
  if (colon < 1) throw new UsageError('--creds needs a name and a password', 'write --creds USER:PASSWORD');
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
