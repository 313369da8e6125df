import type { Command } from 'commander';
import { ProvisionerError } from '../../../base/errors.js';
import type { Cli } from '../../cli.js';
import { destroyedDocument } from '../../output/documents/container-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Removes containers with their root filesystems, nested containers first. Prints the ids removed.')
    .argument('<container-id...>', 'as given to provision');
  addOwnerFlags(command);
  command
    .addHelpText(
      'after',
      `
A container that cannot be found or removed, or that belongs to another owner, does not stop the others; the exit status is then 1.

Examples:
  provisioner destroy job-1
  provisioner destroy job-1 job-2`,
    )
    .action(async (containerIds: string[], { owner, anyOwner }: OwnerFlags) => {
      await cli.withStore(
        async ({ provisioner, output, signal, each }) => {
          const destroyed = await each(containerIds, async (id) => {
            if (!(await provisioner.destroy(id, { anyOwner, signal }))) throw unknownContainer(id);
            output.line(id);
            return destroyedDocument(id);
          });
          output.document(() => destroyed);
        },
        { owner },
      );
    });
}

function unknownContainer(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_NOT_FOUND', `no container ${JSON.stringify(containerId)} in this store`, {
    hint: '`provisioner ps` lists the containers',
    details: { containerId },
  });
}
