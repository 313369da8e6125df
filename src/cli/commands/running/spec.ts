import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { terminalJson } from '../../output/terminal-text.js';
import { addSpecFlags, specOptions } from '../../running/flags/launch-flags.js';
import { addRootFlags, type ForeignContainerFlags, rootOptions } from '../../running/new-container.js';
import { withContainerizer } from '../../running/with-containerizer.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Prints the config.json of an OCI bundle, for whoever runs a container with another tool. The container is provisioned where it is not.',
    )
    .argument('<container-id>')
    .argument('<image>', 'a stored image, or a source to pull')
    .argument('[command...]', 'the program and its arguments (default: as the image says)');
  addSpecFlags(command);
  addRootFlags(command);
  command
    .addHelpText(
      'after',
      `
Example:
  mkdir job-1 && provisioner spec job-1 app:v2 > job-1/config.json && crun run --bundle job-1 job-1; provisioner destroy job-1`,
    )
    .action(async (id: string, image: string, words: string[], flags: ForeignContainerFlags) => {
      const spec = specOptions(flags, words, cli.host.environment);
      const { provision, storeFlags } = rootOptions(flags);
      await cli.withStore(
        (session) =>
          withContainerizer(session, async (containers) => {
            const { output, signal } = session;
            const text = await containers.spec(id, image, { ...spec, provision, signal });
            output.exactText(`${terminalJson(text)}\n`);
          }),
        storeFlags,
      );
    });
}
