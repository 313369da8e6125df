import type { Command } from 'commander';
import type { Cli } from '../cli.js';

/** A file of a group: says how its command is written, and what it does. */
export interface CommandFile {
  define(command: Command, cli: Cli): void;
}

/** Commands by name, each with its summary. A file is loaded when its command is named: it takes a millisecond. */
export type CommandGroup = Readonly<Record<string, readonly [summary: string, load: () => Promise<CommandFile>]>>;
