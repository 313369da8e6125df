import { type Command, Option } from 'commander';
import type { ProvisionOptions } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { rootfsDocument } from '../../output/documents/container-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { addPullFlags, type PullFlags, pullOptions, pullStoreFlags } from '../../pull-flags.js';

interface ProvisionFlags extends PullFlags, OwnerFlags {
  readonly backend?: Exclude<ProvisionOptions['backend'], undefined>;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Makes a root filesystem for a container, one more when it has some already. Prints its absolute path.',
    )
    .argument('<container-id>', 'such as job-1, or parent/child for a nested container')
    .argument('<image>', 'a stored image, or a source to pull')
    .addOption(
      new Option('--backend <name>', 'how it is made (default: auto)').choices(['auto', 'overlay', 'copy', 'bind']),
    );
  addOwnerFlags(command);
  addPullFlags(command, 'missing');
  command
    .addHelpText(
      'after',
      `
Examples:
  provisioner provision job-1 app:v1
  provisioner provision job-1/helper oci:/images/helper:v3 --backend copy
  rootfs=$(provisioner provision job-2 app:v1 --quiet)`,
    )
    .action(async (containerId: string, image: string, flags: ProvisionFlags) => {
      const { backend, owner, anyOwner, ...others } = flags;
      const options = pullOptions(others);
      await cli.withStore(
        async ({ provisioner, output, signal }) => {
          const made = await provisioner.provision(containerId, image, { ...options, backend, anyOwner, signal });
          output.exactLine(made.rootfs);
          output.document(() => rootfsDocument(made));
        },
        { owner, ...pullStoreFlags(flags) },
      );
    });
}
