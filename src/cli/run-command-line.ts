import { CommanderError } from 'commander';
import type { HostProcess } from './host-process.js';
import { Output } from './output/output.js';
import { createProgram } from './program.js';
import { separateProgram } from './separate-program.js';
import { UsageError } from './usage-error.js';

const USAGE_STATUS = 2;

/**
 * Runs one command.
 * @param args without the program's own name
 * @returns the exit status: 0 done, 1 failed, 2 wrong usage, 129, 130 or 143 interrupted
 */
export async function runCommandLine(args: readonly string[], host: HostProcess): Promise<number> {
  try {
    const { program, cli } = await createProgram(args, host);
    await program.parseAsync(separateProgram(args, program), { from: 'user' });
    return cli.exitStatus;
  } catch (error) {
    // Help and version have printed what was asked for.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // Options after the fault have not been parsed.
    const given = (flag: string) => args.includes(flag);
    // Help that was not asked for shows to people that the command is missing.
    if (error instanceof CommanderError && !given('--json')) return USAGE_STATUS;
    const told = error instanceof CommanderError ? noCommand() : error;
    const { stdout, stderr } = host;
    new Output({ stdout, stderr, json: given('--json'), quiet: false, debug: given('--debug') }).failure(told);
    return told instanceof UsageError ? USAGE_STATUS : 1;
  }
}

function noCommand(): UsageError {
  return new UsageError('there is no command', '`provisioner --help` lists them');
}
