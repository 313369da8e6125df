import type { Command } from 'commander';
import { LoadIncompleteError, type PulledImage } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { imageDocument } from '../../output/documents/image-document.js';
import { parseSize } from '../../output/parse-units.js';
import { addProgressFlag, addTarRecordsFlag, type ProgressFlag } from '../../pull-flags.js';
import { UsageError } from '../../usage-error.js';

interface LoadFlags extends ProgressFlag {
  readonly input?: string;
  readonly platform?: string;
  readonly maxSize?: string;
  readonly tarRecords?: boolean;
}

export function define(command: Command, cli: Cli): void {
  addProgressFlag(command);
  addTarRecordsFlag(command);
  command
    .description('Stores all images of an archive. Prints their names, or the digest of an image without one.')
    .option('-i, --input <file>', 'a `docker save` or OCI archive, compressed or not (default: standard input)')
    .option('--platform <os/arch>', 'which images of several platforms (default: this machine, for Linux)')
    .option(
      '--max-size <size>',
      'refuse an image whose layers are larger in the archive, such as 2GB (default: no limit)',
    )
    .addHelpText(
      'after',
      `
Examples:
  provisioner load -i app.tar.gz
  docker save app:v1 | provisioner load

An image that fails does not stop the others; the exit status is then 1.`,
    )
    .action(async ({ input = '-', platform, maxSize, progress, tarRecords }: LoadFlags) => {
      const maxImageBytes = maxSize === undefined ? undefined : parseSize(maxSize, '--max-size');
      const stdin = input === '-' ? cli.host.stdin() : undefined;
      if (stdin?.isTTY) {
        throw new UsageError(
          'there is no archive to load: standard input is a terminal',
          'write -i FILE, or pipe an archive in',
        );
      }
      try {
        await cli.withStore(
          async ({ provisioner, output, signal, failed }) => {
            const load = provisioner.images.load(stdin ?? input, { platform, maxImageBytes, signal });
            const { stored: images, failures } = await outcomeOf(load);
            for (const image of images) {
              for (const name of image.namesGiven.length > 0 ? image.namesGiven : [image.id]) output.line(name);
            }
            failed(failures);
            output.document(() => images.map(imageDocument));
          },
          { progress, tarRecords, create: true },
        );
      } finally {
        // A pipe that nobody has read to its end would keep the process alive.
        stdin?.destroy();
      }
    });
}

async function outcomeOf(
  load: Promise<readonly PulledImage[]>,
): Promise<Pick<LoadIncompleteError, 'stored' | 'failures'>> {
  try {
    return { stored: await load, failures: [] };
  } catch (error) {
    if (error instanceof LoadIncompleteError) return error;
    throw error;
  }
}
