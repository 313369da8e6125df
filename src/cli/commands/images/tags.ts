import type { Command } from 'commander';
import { listTags } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { remoteTagDocument } from '../../output/documents/remote-document.js';
import { parseCount } from '../../output/parse-units.js';
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../../registry-flags.js';

interface TagsFlags extends RegistryFlags {
  readonly limit?: string;
}

/** More than any registry may list. */
const MOST_TAGS = 999_999_999;

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
      const wanted = limit === undefined ? undefined : parseCount(limit, '--limit', MOST_TAGS);
      const registry = registryOptions(flags);
      await cli.withoutStore(async ({ output, signal }) => {
        const onWarning = output.warning.bind(output);
        const found = await listTags(repository, { registry, limit: wanted, signal, onWarning });
        for (const tag of found.tags) output.line(tag);
        output.document(() => found.tags.map((tag) => remoteTagDocument(found.repository, tag)));
      });
    });
}
