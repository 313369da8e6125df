import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { tagDocument } from '../../output/documents/change-document.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Gives an image one more name, taking it from the image that had it. Prints the name in full.')
    .argument('<image>', 'a name, a digest, or the first digits of one')
    .argument('<name>', '[REGISTRY/]REPOSITORY[:TAG]')
    .addHelpText(
      'after',
      `
Examples:
  provisioner tag app:v1 app:stable
  provisioner tag 0f77438cdf24 registry.example/team/app:v1`,
    )
    .action(async (image: string, name: string) => {
      await cli.withStore(async ({ provisioner, output }) => {
        // By its id from here on, so that the document names the image that got the name.
        const { id } = await provisioner.images.get(image);
        const given = await provisioner.images.tag(id, name);
        output.line(given);
        output.document(() => tagDocument(id, given));
      });
    });
}
