import type { ErrorCode } from '../base/codes/code-tables.js';
import { type ErrorDetails, isProvisionerError, ProvisionerError } from '../base/errors.js';

/** An error in a form that crosses threads: a cloned Error would lose its class and our fields. */
interface PackedError {
  readonly ours: boolean;
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly hint: string | undefined;
  readonly details: ErrorDetails;
  readonly cause: PackedError | undefined;
}

export function packError(error: unknown): PackedError {
  const { name, message, stack, cause } = error instanceof Error ? error : new Error(String(error));
  const ours = isProvisionerError(error) ? error : undefined;
  return {
    ours: ours !== undefined,
    name,
    message,
    stack,
    code: (error as { code?: string } | undefined)?.code,
    hint: ours?.hint,
    details: ours?.details ?? {},
    cause: cause === undefined ? undefined : packError(cause),
  };
}

export function unpackError(packed: unknown): Error {
  const { ours, name, message, stack, code, hint, details, cause } = packed as PackedError;
  const beneath = cause === undefined ? {} : { cause: unpackError(cause) };
  const error = ours
    ? new ProvisionerError(code as ErrorCode, message, { ...beneath, ...(hint === undefined ? {} : { hint }), details })
    : Object.assign(new Error(message, beneath), { name, ...(code === undefined ? {} : { code }) });
  if (stack !== undefined) error.stack = stack;
  return error;
}
