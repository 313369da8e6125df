import type { Command } from 'commander';
import type { TerminalSize } from '../../containerizer/index.js';
import type { HostProcess } from '../host-process.js';
import { DETACH_KEYS } from './detach-keys.js';

export interface TerminalFlags {
  readonly tty?: boolean;
}

export interface SittingFlags {
  readonly detachKeys?: string;
}

export function addTerminalFlag(command: Command): void {
  command.option('-t, --tty', 'the program has a terminal; with -i it is this one');
}

export function addSittingFlags(command: Command): void {
  command.option('--detach-keys <keys>', `which leave the program running, '' for none (default: ${DETACH_KEYS})`);
}

/** What programs take a terminal for that does not say what it is. */
const USUAL: TerminalSize = { rows: 24, columns: 80 };

/** Of the terminal that is asked for. */
export function terminalSize({ tty }: TerminalFlags, { terminal }: HostProcess): TerminalSize | undefined {
  return tty === true ? (terminal?.size() ?? USUAL) : undefined;
}
