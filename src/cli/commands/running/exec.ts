import type { Command } from 'commander';
import { throwIfAborted } from '../../../base/errors.js';
import type { Containerizer, Execution } from '../../../containerizer/index.js';
import type { Cli } from '../../cli.js';
import type { HostProcess } from '../../host-process.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { NO_NETWORK_HINT, PrintedEnds } from '../../running/failed-lookup.js';
import { limitOf, variablesOf } from '../../running/flags/launch-flags.js';
import { REFUSED_BY_EXEC, refuse } from '../../running/flags/refused-flags.js';
import { feed, handSignalsOn, printStream } from '../../running/follow-output.js';
import { OURS, withProgram } from '../../running/with-containerizer.js';
import { execOnTerminal } from '../../terminal/exec-on-terminal.js';
import { type TerminalFlags, terminalSize } from '../../terminal/terminal-flags.js';

interface ExecFlags extends OwnerFlags, TerminalFlags {
  readonly interactive?: boolean;
  readonly env: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly timeout?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Runs a program more in a container that runs. The exit status is the program’s.')
    .argument('<container-id>')
    .argument('<command...>', 'the program and its arguments')
    .option('-i, --interactive', 'it reads what comes here as standard input')
    .option('-t, --tty', 'it has a terminal; with -i it is this one')
    .option(
      '-e, --env <name=value>',
      'a variable beside those of the container; may be repeated',
      (value: string, others: readonly string[]) => [...others, value],
      [],
    )
    .option('-u, --user <user[:group]>', 'who runs it (default: as the program of the container)')
    .option('-w, --workdir <dir>', 'where it begins')
    .option('--timeout <age>', 'kill it after this time; 0 is no limit');
  addOwnerFlags(command);
  refuse(command, REFUSED_BY_EXEC);
  command
    .addHelpText(
      'after',
      `
Exit status: that of the program; 128 and the signal that ended it; 127 there is no such program, 126 it cannot be executed, 125 it could not be started.

Examples:
  provisioner exec job-1 ls /app
  provisioner exec -it job-1 sh
  tar -c . | provisioner exec -i job-1 tar -x -C /data`,
    )
    .action(async (containerId: string, words: string[], flags: ExecFlags) => {
      const { host } = cli;
      const { environment } = host;
      const env = variablesOf(flags.env, '--env', environment);
      await cli.withStore(
        (session) =>
          withProgram(session, async (containers) => {
            const terminal = terminalSize(flags, host);
            if (terminal !== undefined) {
              const asked = { env, user: flags.user, workingDir: flags.workdir, timeout: limitOf(flags.timeout) };
              const isTyping = flags.interactive === true;
              return execOnTerminal(session, containers, { containerId, words, isTyping }, host, {
                ...asked,
                terminal,
                anyOwner: flags.anyOwner,
              });
            }
            throwIfAborted(session.signal);
            const givingUp = new AbortController();
            const execution = await containers.exec(containerId, words, {
              env,
              user: flags.user,
              workingDir: flags.workdir,
              stdin: flags.interactive === true ? 'pipe' : 'none',
              timeout: limitOf(flags.timeout),
              anyOwner: flags.anyOwner,
              // Of what comes to this process the program hears, and may take its time.
              signal: givingUp.signal,
            });
            const { ended } = execution;
            const ends = new PrintedEnds();
            const heard = handSignalsOn(host, (name) => execution.kill(name));
            const lastMoment = host.beforeImpatientEnd?.(() => {
              givingUp.abort();
              return ended;
            });
            const { code, signal } = await printAll(execution, host, ends)
              .then(() => ended)
              .finally(() => {
                heard();
                lastMoment?.();
              });
            session.exitWith(code ?? 128 + (signal ?? 0));
            if (code !== 0 && ends.tellFailedLookup() && !(await hasNetwork(containers, containerId)))
              session.output.hint(NO_NETWORK_HINT);
          }),
        { owner: flags.owner, unopened: OURS },
      );
    });
}

/** Feeds it what comes here, where it reads, and prints what it prints, until that is over. @throws OutputClosed */
async function printAll({ stdin, stdout, stderr }: Execution, host: HostProcess, ends: PrintedEnds): Promise<void> {
  const feeding = stdin && feed(stdin, host);
  try {
    await Promise.all([
      printStream(stdout, host.stdout, (bytes) => ends.add('stdout', bytes)),
      printStream(stderr, host.stderr, (bytes) => ends.add('stderr', bytes)),
    ]);
  } finally {
    feeding?.stop();
    stdout.destroy();
    stderr.destroy();
  }
}

/** Or is gone, where nobody can say. */
async function hasNetwork(containers: Containerizer, containerId: string): Promise<boolean> {
  const launch = await containers.get(containerId);
  return launch === undefined || launch.network !== undefined || launch.relaxed.includes('network=host');
}
