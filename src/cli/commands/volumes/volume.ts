import type { Command } from 'commander';
import { isProvisionerError, ProvisionerError } from '../../../base/errors.js';
import type { VolumeInfo } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { inspectedVolume, removedVolume, volumeDocument } from '../../output/documents/volume-document.js';
import { formatAge } from '../../output/human-units.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { volumeFilter } from '../../running/flags/volume-filter.js';
import { UsageError } from '../../usage-error.js';

interface CreateFlags {
  readonly owner?: string;
  readonly label: readonly string[];
}

interface ListFlags {
  readonly q?: boolean;
  readonly filter: readonly string[];
}

interface RemoveFlags extends OwnerFlags {
  readonly force?: boolean;
}

const all = (value: string, others: readonly string[]) => [...others, value];

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Volumes are directories with names, which outlive the containers that have them: `run -v NAME:/in/the/container` makes one where it is missing.',
    )
    .addHelpText(
      'after',
      `
Examples:
  provisioner volume create data --label team=blue
  provisioner run --rm -v data:/data alpine:3 touch /data/file
  provisioner volume ls
  provisioner volume inspect data
  provisioner volume rm data`,
    );
  defineCreate(command.command('create'), cli);
  defineList(command.command('ls').alias('list'), cli);
  defineInspect(command.command('inspect'), cli);
  defineRemove(command.command('rm').alias('remove'), cli);
}

function defineCreate(command: Command, cli: Cli): void {
  command
    .summary('make a volume')
    .description('Makes an empty volume, and prints its name. One of that name that is there stays as it is.')
    .argument('<name>', 'letters, digits, and _ . - between them')
    .option('-l, --label <name=value>', 'a note for whoever looks at it; may be repeated', all, [])
    .option('--owner <name>', 'act as this agent, to which the volume belongs (default: default)')
    .action(async (name: string, { owner, label }: CreateFlags) => {
      const labels = Object.fromEntries(label.map(labelOf));
      await cli.withStore(
        async ({ provisioner, output }) => {
          const volume = await provisioner.volumes.create(name, labels);
          output.line(volume.name);
          output.document(() => volumeDocument(volume));
        },
        { owner, create: true },
      );
    });
}

function defineList(command: Command, cli: Cli): void {
  command
    .summary('list the volumes')
    .description(
      'Lists the volumes of all owners. Those without a name go with their containers, and are not among them.',
    )
    .option('-q', 'names alone')
    .option(
      '-f, --filter <key=value>',
      'only those: dangling=true|false (no container has them, or one has), name=PART, label=NAME[=VALUE], owner=NAME; may be repeated, and then all must fit',
      all,
      [],
    )
    .action(async ({ q = false, filter }: ListFlags) => {
      const fits = volumeFilter(filter);
      await cli.withStore(async ({ provisioner, output }) => {
        const volumes = (await provisioner.volumes.list()).filter(fits);
        if (q) for (const { name } of volumes) output.exactLine(name);
        else
          output.table(
            ['NAME', 'OWNER', 'STATE', 'CREATED', 'CONTAINERS'],
            volumes.map((volume) => rowOf(volume, Date.now())),
          );
        output.document(() => volumes.map(volumeDocument));
      });
    });
}

function defineInspect(command: Command, cli: Cli): void {
  command
    .summary('show all about volumes')
    .description('Shows all about volumes as a JSON array: where they are, who has them, what they take on disk.')
    .argument('<name...>')
    .action(async (names: string[]) => {
      await cli.withStore(async ({ provisioner, output, each }) => {
        output.printDocument(
          await each(names, async (name) => {
            const volume = await provisioner.volumes.get(name);
            if (volume === undefined) throw notFound(name);
            return inspectedVolume(volume, await provisioner.volumes.measure(name));
          }),
        );
      });
    });
}

function defineRemove(command: Command, cli: Cli): void {
  command
    .summary('remove volumes')
    .description(
      'Removes volumes with all that is in them, and prints their names. One that a container has, whether it runs or not, stays.',
    )
    .argument('<name...>')
    .option('-f, --force', 'one that is not there is no failure');
  addOwnerFlags(command);
  command.action(async (names: string[], { owner, anyOwner, force = false }: RemoveFlags) => {
    await cli.withStore(
      async ({ provisioner, output, signal, each }) => {
        const removed = await each(names, async (name) => {
          try {
            await provisioner.volumes.remove(name, { anyOwner, signal });
          } catch (error) {
            if (!force || !isProvisionerError(error, 'ERR_VOLUME_NOT_FOUND')) throw error;
            return undefined;
          }
          output.line(name);
          return removedVolume(name);
        });
        output.document(() => removed.filter((one) => one !== undefined));
      },
      { owner },
    );
  });
}

function rowOf({ name, owner, state, createdAt, containers }: VolumeInfo, now: number): string[] {
  const [first = '-', ...others] = containers;
  return [
    name,
    owner,
    state,
    `${formatAge(now - createdAt)} ago`,
    others.length === 0 ? first : `${first} and ${others.length} more`,
  ];
}

function labelOf(text: string): [string, string] {
  const [, name = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(text) ?? [];
  if (name !== '') return [name, value];
  throw new UsageError(`--label: there is no name in ${JSON.stringify(text)}`, 'write --label NAME=VALUE');
}

function notFound(name: string): ProvisionerError {
  return new ProvisionerError('ERR_VOLUME_NOT_FOUND', `there is no volume ${name}`, {
    hint: '`provisioner volume ls` lists the volumes',
    details: { volume: name },
  });
}
