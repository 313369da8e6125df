import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { imageDocument } from '../../output/documents/image-document.js';
import { PULL_HEADINGS, pullDocument, pullRow } from '../../output/documents/pull-document.js';
import { formatAge, formatSize } from '../../output/human-units.js';
import { shortDigest } from '../../output/short-digest.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Lists the stored images, newest pull first, with one row for each name. SIZE counts layers that images share once for each.',
    )
    .option('--pulling', 'the pulls under way instead, of all processes')
    .action(async ({ pulling = false }: { readonly pulling?: boolean }) => {
      await cli.withStore(async ({ provisioner, output }) => {
        if (pulling) {
          const pulls = await provisioner.images.pulls();
          output.table(
            PULL_HEADINGS,
            pulls.map((pull) => pullRow(pull, Date.now())),
          );
          output.document(() => pulls.map(pullDocument));
          return;
        }
        const images = await provisioner.images.list();
        const now = Date.now();
        output.table(
          ['NAME', 'DIGEST', 'PLATFORM', 'PULLED', 'SIZE'],
          images.flatMap((image) => {
            const { id, names, platform, createdAt, bytes } = image;
            const rest = [shortDigest(id), platform, `${formatAge(now - createdAt)} ago`, formatSize(bytes)];
            return (names.length > 0 ? names : ['<none>']).map((name) => [name, ...rest]);
          }),
        );
        output.document(() => images.map(imageDocument));
      });
    });
}
