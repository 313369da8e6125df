import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { pulledDocument } from '../../output/documents/image-document.js';
import { addPullFlags, type PullFlags, pullOptions, pullStoreFlags } from '../../pull-flags.js';
import { UsageError } from '../../usage-error.js';

interface PullCommandFlags extends PullFlags {
  readonly name?: string;
  readonly force?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Gets images and unpacks their layers. Prints the digest of each image as soon as it is stored.')
    .argument('<source...>', '[docker://]REF, oci:DIR[:REF], oci-archive:FILE[:REF] or docker-archive:FILE[:REF]')
    .option('--name <ref>', 'name the image so, instead of what the source calls it; for one source');
  addPullFlags(command, 'always');
  command.option(
    '--force',
    'get layers again, too, that are stored without a tar record; containers go on with what they show',
  );
  command
    .addHelpText(
      'after',
      `
A source that fails does not stop the others; the exit status is then 1.

Examples:
  provisioner pull python:3.12
  provisioner pull registry.example/team/app:v1 --authfile auth.json
  provisioner pull oci:/images/app:v1
  provisioner pull docker-archive:app.tar --name app:v1
  provisioner pull oci:/images/app:v1 --platform linux/arm64
  provisioner pull --policy missing app:v1    # asks nobody when it is stored
  provisioner pull --force app:v1             # so that all its layers have tar records`,
    )
    .action(async (sources: string[], { name, force = false, ...flags }: PullCommandFlags) => {
      const { pullPolicy, ...options } = pullOptions(flags);
      if (force && pullPolicy !== undefined && pullPolicy !== 'always') {
        throw new UsageError(`--force and --policy ${pullPolicy} contradict each other`, 'leave one of them out');
      }
      if (name !== undefined && sources.length > 1) {
        throw new UsageError(
          '--name is for one source',
          'pull the images one by one, or name them later with `provisioner tag`',
        );
      }
      if (force && flags.tarRecords === false)
        throw new UsageError('--force and --no-tar-records contradict each other', 'leave one of them out');
      await cli.withStore(async ({ provisioner, output, signal, each, failed }) => {
        const images = await each(sources, async (source) => {
          if (!force) {
            const image = await provisioner.images.pull(source, { ...options, pullPolicy, name, signal });
            output.line(image.id);
            return image;
          }
          const image = await provisioner.images.pullAgain(source, { ...options, name, signal });
          output.line(image.id);
          const { failed: left, parkedFor } = image.renewed;
          if (parkedFor.length > 0)
            output.hint(`containers that keep the layers of before until they are destroyed: ${parkedFor.join(', ')}`);
          failed(left);
          return image;
        });
        output.document(() => images.map(pulledDocument));
      }, pullStoreFlags(flags));
    });
}
