import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import type { COMMAND_WARNINGS } from '../../output/command-codes.js';
import { removalDocument } from '../../output/documents/change-document.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Removes the name of an image; or all its names, when it is given by its digest. Prints the names removed. ' +
        'The image itself and its layers stay, by digest, until a prune.',
    )
    .argument('<image...>', 'a name, a digest, or the first digits of one')
    .addHelpText(
      'after',
      `
An image that cannot be found does not stop the others; the exit status is then 1.

Examples:
  provisioner rmi app:v1
  provisioner rmi app:v1 0f77438cdf24`,
    )
    .action(async (images: string[]) => {
      await cli.withStore(async ({ provisioner, output, each }) => {
        const removals = await each(images, async (image) => {
          const removed = await provisioner.images.remove(image);
          for (const name of removed) output.line(name);
          if (removed.length === 0) output.warning(withoutNames(image));
          return removalDocument(image, removed);
        });
        output.document(() => removals);
      });
    });
}

function withoutNames(image: string) {
  return {
    code: 'NO_NAMES' satisfies keyof typeof COMMAND_WARNINGS,
    message: `image ${image} has no name to remove; it stays until a prune`,
    details: { image },
  };
}
