import type { Command } from 'commander';
import { ProvisionerError } from '../../../base/errors.js';
import type { DestroyContainerOptions } from '../../../containerizer/index.js';
import type { Cli } from '../../cli.js';
import { destroyedDocument } from '../../output/documents/container-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { withContainerizer } from '../../running/with-containerizer.js';
import type { Session } from '../../session.js';

interface DestroyFlags extends OwnerFlags {
  readonly force?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Removes containers with their root filesystems, nested containers first. Prints the ids removed.')
    .argument('<container-id...>', 'as given to provision or run')
    .option('-f, --force', 'kill what runs in them');
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
    .action(async (containerIds: string[], { owner, anyOwner, force = false }: DestroyFlags) => {
      await cli.withStore(
        async (session) => {
          const { provisioner, output, signal, each } = session;
          const destroyed = await each(containerIds, async (id) => {
            const running = force ? 'kill' : 'refuse';
            const wasLaunched = (await provisioner.launches.get(id)) !== undefined;
            const destroyed = wasLaunched
              ? await destroyLaunched(session, id, { anyOwner, running })
              : await provisioner.destroy(id, { anyOwner, signal });
            if (!destroyed) throw unknownContainer(id);
            output.line(id);
            return destroyedDocument(id);
          });
          output.document(() => destroyed);
        },
        { owner },
      );
    });
}

async function destroyLaunched(session: Session, id: string, options: DestroyContainerOptions): Promise<boolean> {
  let destroyed = false;
  await withContainerizer(session, async (containers) => {
    destroyed = await containers.destroy(id, options);
  });
  return destroyed;
}

function unknownContainer(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_NOT_FOUND', `no container ${JSON.stringify(containerId)} in this store`, {
    hint: '`provisioner ps` lists the containers',
    details: { containerId },
  });
}
