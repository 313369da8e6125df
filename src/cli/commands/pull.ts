import type { Command } from 'commander';
import type { Cli } from '../cli.js';
import { imageDocument } from '../output/image-document.js';
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../registry-flags.js';
import { UsageError } from '../usage-error.js';

interface PullFlags extends RegistryFlags {
  readonly name?: string;
  readonly platform?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Gets images and unpacks their layers. Prints the digest of each image as soon as it is stored.')
    .argument('<source...>', '[docker://]REF, oci:DIR[:REF], oci-archive:FILE[:REF] or docker-archive:FILE[:REF]')
    .option('--name <ref>', 'name the image so, instead of what the source calls it; for one source')
    .option('--platform <os/arch>', 'which image of several platforms (default: this machine, for Linux)');
  addRegistryFlags(command);
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
  provisioner pull oci:/images/app:v1 --platform linux/arm64`,
    )
    .action(async (sources: string[], { name, platform, ...flags }: PullFlags) => {
      const registry = registryOptions(flags);
      if (name !== undefined && sources.length > 1) {
        throw new UsageError(
          '--name is for one source',
          'pull the images one by one, or name them later with `provisioner tag`',
        );
      }
      await cli.withStore(async ({ provisioner, output, signal, each }) => {
        const images = await each(sources, async (source) => {
          const image = await provisioner.pull(source, { name, platform, registry, signal });
          output.line(image.id);
          return image;
        });
        output.document(() => images.map(imageDocument));
      });
    });
}
