import type { Command } from 'commander';
import { listTags } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { remoteTagDocument } from '../../output/documents/remote-document.js';
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../../registry-flags.js';
import { UsageError } from '../../usage-error.js';

interface TagsFlags extends RegistryFlags {
  readonly limit?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Lists the tags of a repository of a registry, one a line, in the order of the registry. No store is needed.',
    )
    .argument('<repository>', '[docker://][REGISTRY/]REPOSITORY, without a tag')
    .option('--limit <n>', 'the first so many (default: all)');
  addRegistryFlags(command);
  command
    .addHelpText(
      'after',
      `
Examples:
  provisioner tags python
  provisioner tags registry.example/team/app --json | jq -r '.[].name'`,
    )
    .action(async (repository: string, { limit, ...flags }: TagsFlags) => {
      const wanted = limit === undefined ? undefined : parseCount(limit);
      const registry = registryOptions(flags);
      await cli.withoutStore(async ({ output, signal }) => {
        const onWarning = output.warning.bind(output);
        const found = await listTags(repository, { registry, limit: wanted, signal, onWarning });
        for (const tag of found.tags) output.line(tag);
        output.document(() => found.tags.map((tag) => remoteTagDocument(found.repository, tag)));
      });
    });
}

/** @throws UsageError */
function parseCount(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count > 0) return count;
  throw new UsageError(`--limit: not a number of tags: ${JSON.stringify(text)}`, 'write a whole number from 1 on');
}
