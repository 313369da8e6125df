import type { Command } from 'commander';
import type { Cli } from '../cli.js';
import { formatAge, formatSize } from '../output/human-units.js';
import { imageDocument } from '../output/image-document.js';
import { shortDigest } from '../output/short-digest.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Lists the stored images, newest pull first, with one row for each name. SIZE counts layers that images share once for each.',
    )
    .action(async () => {
      await cli.withStore(async ({ provisioner, output }) => {
        const images = await provisioner.images();
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
