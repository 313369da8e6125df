import type { Command } from 'commander';
import { ProvisionerError } from '../../../base/errors.js';
import type { NetworkInfo } from '../../../containerizer/index.js';
import type { Cli } from '../../cli.js';
import { networkDocument } from '../../output/documents/network-document.js';
import { withContainerizer } from '../../running/with-containerizer.js';

interface CreateFlags {
  readonly internal?: boolean;
  readonly subnet?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Networks connect containers with each other, by their ids as names too, and with the outside: `run --network NAME`. Two are there without being made: `bridge`, and `internal`, from which no way leads out. Those of CNI files in /etc/cni/net.d can be used by their names.',
    )
    .addHelpText(
      'after',
      `
Examples:
  provisioner run -d --name web --network bridge -p 8080:80 nginx
  provisioner run --rm --network bridge alpine:3 wget -qO- http://web/
  provisioner network create build --internal
  provisioner network inspect bridge
  provisioner network rm build`,
    );
  defineCreate(command.command('create'), cli);
  defineList(command.command('ls').alias('list'), cli);
  defineInspect(command.command('inspect'), cli);
  defineRemove(command.command('rm').alias('remove'), cli);
}

function defineCreate(command: Command, cli: Cli): void {
  command
    .summary('make a network')
    .description('Makes a network, and prints its name. Its bridge is there while a container is connected.')
    .argument('<name>', 'letters, digits, and _ . - after the first one')
    .option('--internal', 'no way leads out of it')
    .option('--subnet <range>', 'its addresses, such as 10.9.0.0/24 (default: some that are free)')
    .action(async (name: string, { internal, subnet }: CreateFlags) => {
      await cli.withStore(
        (session) =>
          withContainerizer(session, async ({ networks }) => {
            const network = await networks.create(name, { internal, subnet });
            session.output.line(network.name);
            session.output.document(() => networkDocument(network));
          }),
        { create: true },
      );
    });
}

function defineList(command: Command, cli: Cli): void {
  command
    .summary('list the networks')
    .description(
      'Lists networks: those of the store, and those of the administrator. Those that are there without being made have their addresses from their first use on.',
    )
    .option('-q', 'names alone')
    .action(async ({ q = false }: { readonly q?: boolean }) => {
      await cli.withStore((session) =>
        withContainerizer(session, async ({ networks }) => {
          const all = await networks.list();
          if (q) for (const { name } of all) session.output.exactLine(name);
          else session.output.table(['NETWORK', 'DRIVER', 'SUBNET', 'WAY OUT', 'CONTAINERS'], all.map(rowOf));
          session.output.document(() => all.map(networkDocument));
        }),
      );
    });
}

function defineInspect(command: Command, cli: Cli): void {
  command
    .summary('show all about networks')
    .description('Shows all about networks as a JSON array: their addresses, and who is connected.')
    .argument('<name...>')
    .action(async (names: string[]) => {
      await cli.withStore((session) =>
        withContainerizer(session, async ({ networks }) => {
          session.output.printDocument(
            await session.each(names, async (name) => {
              const network = await networks.get(name);
              if (network === undefined) throw notFound(name);
              return networkDocument(network);
            }),
          );
        }),
      );
    });
}

function defineRemove(command: Command, cli: Cli): void {
  command
    .summary('remove networks')
    .description('Removes networks to which nothing is connected, and prints their names.')
    .argument('<name...>')
    .option('-f, --force', 'one that is not there is no failure')
    .action(async (names: string[], { force = false }: { readonly force?: boolean }) => {
      await cli.withStore((session) =>
        withContainerizer(session, async ({ networks }) => {
          const removed = await session.each(names, async (name) => {
            if (!(await networks.remove(name))) {
              if (force) return undefined;
              throw (await networks.get(name))?.isConfigured ? ofOthers(name) : notFound(name);
            }
            session.output.line(name);
            return { name, removed: true };
          });
          session.output.document(() => removed.filter((one) => one !== undefined));
        }),
      );
    });
}

function rowOf({ name, driver, subnet = '-', internal, containers }: NetworkInfo): string[] {
  const out = internal === undefined ? '-' : internal ? 'no' : 'yes';
  return [name, driver ?? '-', subnet, out, String(containers.length)];
}

function ofOthers(name: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_NETWORK_NOT_FOUND',
    `the network ${name} is none of this store: a file of /etc/cni/net.d describes it`,
    {
      hint: 'remove that file',
      details: { network: name },
    },
  );
}

function notFound(name: string): ProvisionerError {
  return new ProvisionerError('ERR_NETWORK_NOT_FOUND', `there is no network ${name}`, {
    hint: '`provisioner network ls` shows what there is; bridge and internal are made with their first use',
    details: { network: name },
  });
}
