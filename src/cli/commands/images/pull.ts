import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { imageDocument } from '../../output/documents/image-document.js';
import { addPullFlags, type PullFlags, pullOptions, pullStoreFlags } from '../../pull-flags.js';
import { UsageError } from '../../usage-error.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Gets images and unpacks their layers. Prints the digest of each image as soon as it is stored.')
    .argument('<source...>', '[docker://]REF, oci:DIR[:REF], oci-archive:FILE[:REF] or docker-archive:FILE[:REF]')
    .option('--name <ref>', 'name the image so, instead of what the source calls it; for one source');
  addPullFlags(command, 'always');
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
  provisioner pull --policy missing app:v1    # asks nobody when it is stored`,
    )
    .action(async (sources: string[], { name, ...flags }: PullFlags & { readonly name?: string }) => {
      const options = pullOptions(flags);
      if (name !== undefined && sources.length > 1) {
        throw new UsageError(
          '--name is for one source',
          'pull the images one by one, or name them later with `provisioner tag`',
        );
      }
      await cli.withStore(async ({ provisioner, output, signal, each }) => {
        const images = await each(sources, async (source) => {
          const image = await provisioner.images.pull(source, { ...options, name, signal });
          output.line(image.id);
          return image;
        });
        output.document(() => images.map(imageDocument));
      }, pullStoreFlags(flags));
    });
}
