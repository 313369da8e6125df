import type { Command } from 'commander';
import { ProvisionerError } from '../../../base/errors.js';
import { type LoggedOut, logout, logoutAll } from '../../../index.js';
import type { Cli } from '../../cli.js';
import type { COMMAND_WARNINGS } from '../../output/command-codes.js';
import { logoutDocument } from '../../output/documents/remote-document.js';
import { addAuthFileFlag } from '../../registry-flags.js';
import { UsageError } from '../../usage-error.js';

interface LogoutFlags {
  readonly all?: boolean;
  readonly authfile?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Forgets the login to a registry, which podman, skopeo and we share. Prints what was forgotten. No store is needed.',
    )
    .argument('[registry]', 'REGISTRY or REGISTRY/PATH, as given to login (default: docker.io)')
    .option('-a, --all', 'all logins in the file');
  addAuthFileFlag(command, 'the file that has them (environment: REGISTRY_AUTH_FILE)')
    .addHelpText(
      'after',
      `
Examples:
  provisioner logout registry.example:5000
  provisioner logout --authfile ~/.docker/config.json    # what docker login has left`,
    )
    .action(async (registry: string | undefined, { all = false, authfile: authFile }: LogoutFlags) => {
      if (all && registry !== undefined) throw new UsageError('--all goes with no registry', 'leave one of them out');
      await cli.withoutStore(async ({ output, signal }) => {
        if (all) {
          const { file, removed } = await logoutAll({ authFile, signal });
          for (const key of removed) output.line(key);
          if (removed.length === 0) output.hint(`there are no logins in ${file}`);
          output.document(() => logoutDocument(file, removed));
          return;
        }
        const outcome = await logout(registry ?? 'docker.io', { authFile, signal });
        if (!outcome.removed) throw notLoggedIn(outcome);
        const { key, file, elsewhere } = outcome;
        output.line(key);
        for (const other of elsewhere) output.warning(stillLoggedIn(key, other));
        const keys = [key];
        output.document(() => logoutDocument(file, keys));
      });
    });
}

function notLoggedIn({ key, file, elsewhere }: LoggedOut): ProvisionerError {
  const [other] = elsewhere;
  const beside = other === undefined ? '' : `; ${other} has one`;
  return new ProvisionerError('ERR_NOT_LOGGED_IN', `there is no login to ${key} in ${file}${beside}`, {
    hint:
      other === undefined
        ? 'check the name of the registry; --authfile names another file'
        : `forget that one with --authfile ${other}`,
    details: { registry: key, path: file, elsewhere },
  });
}

function stillLoggedIn(key: string, file: string) {
  return {
    code: 'STILL_LOGGED_IN' satisfies keyof typeof COMMAND_WARNINGS,
    message: `${file} has credentials for ${key}, too: pulls go on with those`,
    details: { registry: key, path: file },
  };
}
