import { CommanderError } from 'commander';
import { Output } from './output/output.js';
import { createProgram } from './program.js';
import type { Surroundings } from './surroundings.js';
import { UsageError } from './usage-error.js';

const USAGE_STATUS = 2;

/**
 * Runs one command.
 * @param args without the program's own name
 * @returns the exit status: 0 done, 1 failed, 2 wrong usage, 129, 130 or 143 interrupted
 */
export async function runCommandLine(args: readonly string[], surroundings: Surroundings): Promise<number> {
  try {
    const { program, cli } = await createProgram(args, surroundings);
    await program.parseAsync(args, { from: 'user' });
    return cli.exitStatus;
  } catch (error) {
    // Help and version have printed what was asked for; help that was not asked for shows that the command is missing.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_STATUS;
    const { stdout, stderr } = surroundings;
    // Options after the fault have not been parsed.
    const given = (flag: string) => args.includes(flag);
    new Output({ stdout, stderr, json: given('--json'), quiet: false, debug: given('--debug') }).failure(error);
    return error instanceof UsageError ? USAGE_STATUS : 1;
  }
}
