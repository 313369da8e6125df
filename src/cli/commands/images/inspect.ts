import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { inspectedImage } from '../../output/documents/image-document.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Shows all about images as a JSON array: names, layers, source, and the config and manifest as their maker wrote them.',
    )
    .argument('<image...>', 'a name, a digest, or the first digits of one')
    .addHelpText(
      'after',
      `
Examples:
  provisioner inspect app:v1
  provisioner inspect app:v1 | jq '.[0].config.config.Env'`,
    )
    .action(async (names: string[]) => {
      await cli.withStore(async ({ provisioner, output, each }) => {
        output.printDocument(await each(names, async (name) => inspectedImage(await provisioner.images.get(name))));
      });
    });
}
