import type { ErrorCode } from '../../base/codes/code-tables.js';
import { isProvisionerError, machineError } from '../../base/errors.js';
import { UsageError } from '../usage-error.js';
import type { COMMAND_ERRORS } from './command-codes.js';
import { terminalJson, terminalLines, terminalText } from './terminal-text.js';

/** An error in `--json`; `docs/cli.md` promises this shape. */
export interface FailureDocument {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | null;
    readonly details: Readonly<Record<string, unknown>>;
    /** With `--debug`: the stack of the error, then those of its causes. */
    readonly stacks?: readonly string[];
  };
}

/** One line with the cause and, where there is one, one with the hint; with `--debug` the stacks of the whole chain. */
export function failureText(error: unknown, debug: boolean): string {
  const { message, hint } = failureParts(error);
  const lines = [`provisioner: ${terminalText(message)}`];
  if (hint !== undefined) lines.push(`hint: ${terminalText(hint)}`);
  if (debug)
    lines.push(...stacks(error).map((stack, depth) => terminalLines(depth === 0 ? stack : `caused by: ${stack}`)));
  return lines.map((line) => `${line}\n`).join('');
}

/** The same as one line of JSON. */
export function failureJson(error: unknown, debug: boolean): string {
  const { code, message, hint = null, details } = failureParts(error);
  const document: FailureDocument = {
    error: { code, message, hint, details, ...(debug ? { stacks: stacks(error) } : {}) },
  };
  return `${terminalJson(JSON.stringify(document))}\n`;
}

function failureParts(error: unknown): {
  readonly code: ErrorCode | keyof typeof COMMAND_ERRORS;
  readonly message: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
} {
  if (error instanceof UsageError) return { code: 'ERR_USAGE', message: error.message, hint: error.hint, details: {} };
  // Also where it is a part of this program that could not be read.
  const told = machineError(error, 'do what was asked');
  if (isProvisionerError(told)) return told;
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'ERR_UNEXPECTED',
    message: `unexpected: ${message}`,
    hint: 'this is a fault of provisioner: run the command again with --debug and report what it prints',
    details: {},
  };
}

/** A chain of causes that bites its own tail ends here. */
const CAUSES_MAX = 20;

function stacks(error: unknown): string[] {
  const chain: string[] = [];
  for (let at = error; at !== undefined && at !== null && chain.length < CAUSES_MAX; ) {
    chain.push(at instanceof Error ? (at.stack ?? `${at.name}: ${at.message}`) : String(at));
    at = at instanceof Error ? at.cause : undefined;
  }
  return chain;
}
