import { type Command, Option } from 'commander';
import type { ProvisionedRootfs, ProvisionOptions } from '../../index.js';
import type { Cli } from '../cli.js';
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../registry-flags.js';

interface ProvisionFlags extends RegistryFlags {
  readonly backend?: Exclude<ProvisionOptions['backend'], undefined>;
  readonly policy?: Exclude<ProvisionOptions['pullPolicy'], undefined>;
  readonly platform?: string;
  readonly owner?: string;
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
    )
    .addOption(new Option('--policy <when>', 'when to pull (default: missing)').choices(['missing', 'always', 'never']))
    .option('--platform <os/arch>', 'for a pull, which image of several platforms (default: this machine, for Linux)')
    .option('--owner <name>', 'the agent that a new container belongs to (default: default)');
  addRegistryFlags(command);
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
      const { backend, policy, platform, owner, ...others } = flags;
      const registry = registryOptions(others);
      await cli.withStore(
        async ({ provisioner, output, signal }) => {
          const made = await provisioner.provision(containerId, image, {
            backend,
            pullPolicy: policy,
            platform,
            registry,
            signal,
          });
          output.exactLine(made.rootfs);
          output.document(() => rootfsDocument(made));
        },
        { owner },
      );
    });
}

function rootfsDocument({ containerId, rootfsId, rootfs, backend, image, runtime }: ProvisionedRootfs) {
  return { containerId, rootfsId, rootfs, backend, image: image.id, runtime };
}
