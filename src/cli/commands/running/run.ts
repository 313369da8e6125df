import { randomBytes } from 'node:crypto';
import { type Command, Option } from 'commander';
import type { RuntimeName } from '../../../containerizer/index.js';
import type { ProvisionOptions } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { endedDocument, launchedDocument } from '../../output/documents/launch-document.js';
import type { OwnerFlags } from '../../owner-flags.js';
import { addPullFlags, type PullFlags, pullOptions, pullStoreFlags } from '../../pull-flags.js';
import { NO_NETWORK_HINT, PrintedEnds } from '../../running/failed-lookup.js';
import { feed, followOutput } from '../../running/follow-output.js';
import { addLaunchFlags, type LaunchFlags, launchOptions } from '../../running/launch-flags.js';
import { runStatusOf, withProgram } from '../../running/with-containerizer.js';
import { UsageError } from '../../usage-error.js';

interface RunFlags extends LaunchFlags, PullFlags, Pick<OwnerFlags, 'owner'> {
  readonly detach?: boolean;
  readonly name?: string;
  readonly interactive?: boolean;
  readonly runtime?: RuntimeName;
  readonly backend?: Exclude<ProvisionOptions['backend'], undefined>;
  readonly pull?: PullFlags['policy'];
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Runs a program in a new container, and prints what it prints. The exit status is the program’s.')
    .argument('<image>', 'a stored image, or a source to pull')
    .argument('[command...]', 'the program and its arguments (default: as the image says)')
    .option('-d, --detach', 'print the id when it has been started, and let it run')
    .option('--name <container-id>', 'what the container is called (default: a name is made)')
    .option('-i, --interactive', 'the program reads what comes here as standard input')
    .addOption(new Option('--runtime <name>', 'what runs it (default: crun, else runc)').choices(['crun', 'runc']))
    .addOption(
      new Option('--backend <name>', 'how its root filesystem is made (default: auto)').choices([
        'auto',
        'overlay',
        'copy',
        'bind',
      ]),
    );
  addLaunchFlags(command);
  command.option('--owner <name>', 'act as this agent, to which the container belongs (default: default)');
  addPullFlags(command, 'missing', 'pull');
  command
    .addHelpText(
      'after',
      `
Exit status: that of the program; 128 and the signal that ended it; 127 there is no such program, 126 it cannot be executed, 125 it could not be started.
A program that is killed with the client's own end goes on: \`logs -f\` and \`wait\` find it again.

Examples:
  provisioner run --rm alpine:3 echo hi
  provisioner run -d --name job-1 --memory 512m --cpus 1.5 --timeout 10m -v /data:/data:ro app:v2 python3 main.py`,
    )
    .action(async (image: string, words: string[], flags: RunFlags) => {
      const { host } = cli;
      if (flags.detach === true && flags.interactive === true) {
        throw new UsageError(
          '--detach does not go with --interactive',
          'with this process gone nobody would feed the program',
        );
      }
      const id = flags.name ?? `run-${randomBytes(5).toString('hex')}`;
      const options = launchOptions(flags, words, host.environment);
      const provision = pullOptions({ ...flags, ...(flags.pull === undefined ? {} : { policy: flags.pull }) });
      await cli.withStore(
        (session) =>
          withProgram(
            session,
            async (containers) => {
              const { output, signal, exitWith } = session;
              const launched = await containers.launch(id, image, {
                ...options,
                provision: { ...provision, backend: flags.backend },
                stdin: flags.interactive === true ? 'pipe' : 'none',
                attach: flags.detach !== true,
                signal,
              });
              if (flags.detach === true) {
                output.line(id);
                output.document(() => launchedDocument(launched));
                return;
              }
              const feeding = launched.stdin && feed(launched.stdin, host);
              const ends = new PrintedEnds();
              const exit = await followOutput(containers, launched, host, ends).finally(() => feeding?.stop());
              output.document(() => endedDocument(id, exit));
              if (exit.code !== 0 && options.network !== 'host' && ends.tellFailedLookup())
                output.hint(NO_NETWORK_HINT);
              exitWith(runStatusOf(exit));
            },
            flags.runtime,
          ),
        { owner: flags.owner, ...pullStoreFlags(flags) },
      );
    });
}
