import { Command } from 'commander';
import { Cli } from './cli.js';
import type { CommandGroup } from './commands/command-group.js';
import { CONTAINERS } from './commands/containers/group.js';
import { IMAGES } from './commands/images/group.js';
import { NETWORKS } from './commands/networks/group.js';
import { REGISTRIES } from './commands/registries/group.js';
import { RUNNING } from './commands/running/group.js';
import { STORE } from './commands/store/group.js';
import { VOLUMES } from './commands/volumes/group.js';
import { WATCHING } from './commands/watching/group.js';
import type { GlobalFlags } from './flags.js';
import type { HostProcess } from './host-process.js';
import { packageVersion } from './package-version.js';
import { UsageError, usageErrorFrom } from './usage-error.js';

const EXAMPLES = `
Examples:
  provisioner run --rm alpine:3 echo hi
  provisioner pull python:3.12
  provisioner pull oci:/images/app:v1 --name app:v1
  docker save app:v1 | provisioner load
  provisioner provision job-1 app:v1
  provisioner ps
  provisioner destroy job-1

IMAGE is a name (app:v1), a digest, or the first digits of one.
SOURCE is [docker://]REF for a registry, oci:DIR[:REF], oci-archive:FILE[:REF] or docker-archive:FILE[:REF].
Exit status: 0 done, 1 failed, wholly or in part, 2 wrong usage, 129, 130 or 143 ended by SIGHUP, SIGINT or SIGTERM.`;

/** All commands in the order of the help. A wing adds its group. */
const COMMANDS: CommandGroup = {
  ...RUNNING,
  ...WATCHING,
  ...IMAGES,
  ...CONTAINERS,
  ...NETWORKS,
  ...VOLUMES,
  ...STORE,
  ...REGISTRIES,
};

/**
 * The parser for one command line. Wrong usage is thrown as a `UsageError`; help and version go to stdout and end in a `CommanderError`
 * with exit code 0.
 * @param args the same that will be parsed: only the files of commands that they name are loaded, since a file takes a millisecond
 */
export async function createProgram(
  args: readonly string[],
  host: HostProcess,
): Promise<{ readonly program: Command; readonly cli: Cli }> {
  const program = new Command('provisioner');
  const cli = new Cli(host, () => program.opts<GlobalFlags>());
  program
    .description('Runs containers, and turns images into root filesystems, without a daemon.')
    .usage('[options] COMMAND …')
    .option('--root <dir>', 'directory of the store (environment: PROVISIONER_ROOT)')
    .option('--json', 'results as one JSON document, errors as JSON lines')
    .option('--quiet', 'no progress and no warnings')
    .option('--debug', 'stack and causes with an error')
    .option(
      '--lock-timeout <age>',
      "fail when the store's lock is not free, or a stopped process does not go on, within this time, such as 30s (default: wait)",
    )
    .option('--unsafe-no-sync', 'do not wait for the disk; a power cut may damage the store')
    .option('--allow-degraded', 'as root without native system calls, too, make a store and add layers')
    .option('--allow-other-files', 'make a store in a directory that has other things in it, too')
    // To find it takes a twentieth of the time of a short command.
    .version(args.includes('--version') ? packageVersion() : '', '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => host.stdout.write(text),
      // Help that was not asked for: programs are told in their own way.
      writeErr: (text) => args.includes('--json') || host.stderr.write(text),
      // Errors are thrown, and reported where all the others are.
      outputError: () => {},
    })
    .addHelpText('after', EXAMPLES);
  program.hook('preAction', (_, command) => requireValues(command));
  throwUsageErrors(program, 'provisioner');
  for (const [name, [summary, load]] of Object.entries(COMMANDS)) {
    const command = program.command(name).summary(summary);
    throwUsageErrors(command, `provisioner ${name}`);
    if (args.includes(name)) (await load()).define(command, cli);
  }
  // Only names: of the commands that are not loaded nothing else is known.
  program.configureHelp({ showGlobalOptions: true, subcommandTerm: (command) => command.name() });
  return { program, cli };
}

function throwUsageErrors(command: Command, name: string): void {
  command.exitOverride((error) => {
    throw error.exitCode === 0 || error.code === 'commander.help' ? error : usageErrorFrom(error, name);
  });
}

/** An empty one is none, as with Docker. */
const MAY_BE_EMPTY: readonly string[] = ['--entrypoint', '--detach-keys'];

/** Most likely unset variables in a script. */
function requireValues(command: Command): void {
  for (const option of command.options) {
    if (command.getOptionValue(option.attributeName()) === '' && !MAY_BE_EMPTY.includes(option.long ?? ''))
      throw new UsageError(`${option.long} is empty`, 'give it a value, or leave it out');
  }
}
