import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { pinAll } from './pin-all.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Keeps images from every prune, until `unpin`. Prints the digest of each image.')
    .argument('<image...>', 'a name, a digest, or the first digits of one')
    .action((images: string[]) => pinAll(cli, images, true));
}
