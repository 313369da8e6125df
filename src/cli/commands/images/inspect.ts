import type { Command } from 'commander';
import { inspectRemote } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { inspectedImage } from '../../output/documents/image-document.js';
import { inspectedRemoteImage } from '../../output/documents/remote-document.js';
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../../registry-flags.js';
import { UsageError } from '../../usage-error.js';

interface InspectFlags extends RegistryFlags {
  readonly remote?: boolean;
  readonly platform?: string;
  readonly raw?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Shows all about images as a JSON array: names, layers, source, and the config and manifest as their maker wrote them.',
    )
    .argument('<image...>', 'a name, a digest, or the first digits of one; with --remote a SOURCE, as for pull')
    .option('--remote', 'of what lies elsewhere, without pulling it; no store is needed')
    .option(
      '--platform <os/arch>',
      'of what is remote, which image of several platforms (default: this machine, for Linux)',
    )
    .option('--raw', 'of what is remote, the index or manifest that is named, byte for byte');
  addRegistryFlags(command);
  command
    .addHelpText(
      'after',
      `
Examples:
  provisioner inspect app:v1
  provisioner inspect app:v1 | jq '.[0].config.config.Env'
  provisioner inspect --remote python:3.12 | jq '.[0].platforms'
  provisioner inspect --remote oci:/images/app:v1 --raw`,
    )
    .action(async (names: string[], { remote = false, ...flags }: InspectFlags) => {
      if (remote) return inspectElsewhere(names, flags, cli);
      const [given] = Object.keys(flags);
      if (given !== undefined) {
        throw new UsageError(
          `--${given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is for --remote`,
          'write --remote to inspect what lies in a registry, a layout or an archive',
        );
      }
      await cli.withStore(async ({ provisioner, output, each }) => {
        output.printDocument(await each(names, async (name) => inspectedImage(await provisioner.images.get(name))));
      });
    });
}

async function inspectElsewhere(sources: string[], { platform, raw, ...flags }: InspectFlags, cli: Cli): Promise<void> {
  const registry = registryOptions(flags);
  if (raw && sources.length > 1) throw new UsageError('--raw is for one source', 'inspect them one by one');
  await cli.withoutStore(async ({ output, signal, each }) => {
    const onWarning = output.warning.bind(output);
    const images = await each(sources, (source) => inspectRemote(source, { platform, registry, signal, onWarning }));
    if (!raw) output.printDocument(images.map(inspectedRemoteImage));
    else for (const { index, manifest } of images) output.exactText(index ?? manifest);
  });
}
