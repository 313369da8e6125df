import type { ErrorCode } from '../base/codes/code-tables.js';
import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import type { PullFailure, PullOutcome } from '../metadata/pulls/pull-records.js';

/** A pull that failed, and what came of it. */
export interface FailedPull extends Pick<PullOutcome, 'source' | 'finishedAt'> {
  readonly failure: PullFailure;
}

/**
 * Failures that lie with who pulled, not with what was pulled: another caller may have more luck, so they hold nobody else back.
 * A wrong password in one process says nothing of another's. Not the question of `isRetryable`, which is whether the same caller may have more luck later.
 */
const OWN_FAILURES: ReadonlySet<string> = new Set<ErrorCode>([
  'ERR_REGISTRY_UNAUTHORIZED',
  'ERR_REGISTRY_DENIED',
  'ERR_REGISTRY_CONFIG',
  'ERR_PERMISSION',
  'ERR_NATIVE_MISSING',
  'ERR_WORKER_DIED',
]);

/** What is kept of a failure; undefined for one that is none: the caller gave up, or would not wait for longer, or the provisioner was closed. */
export function failureOf(error: unknown): PullFailure | undefined {
  if (isProvisionerError(error, 'ERR_ABORTED', 'ERR_CLOSED', 'ERR_LOCK_TIMEOUT')) return undefined;
  if (isProvisionerError(error)) return { code: error.code, message: error.message, hint: error.hint ?? null };
  return { code: 'ERR_IO', message: error instanceof Error ? error.message : String(error), hint: null };
}

export function failedPull({ source, finishedAt, result }: PullOutcome): FailedPull | undefined {
  return result.kind === 'failed' ? { source, finishedAt, failure: result.failure } : undefined;
}

/** When it may be tried again. A failure that is still to come was stamped before the clock was set back: it holds nobody. */
export function retryAt({ finishedAt }: Pick<FailedPull, 'finishedAt'>, now: number, coolDown: number): number {
  return finishedAt > now ? now : finishedAt + coolDown;
}

/** Whether a caller that waited for another's pull takes its failure for its own. */
export function isSharedFailure({ code }: PullFailure): boolean {
  return !OWN_FAILURES.has(code);
}

/** The same failure, for a caller that did not pull itself. */
export function repeatedFailure({ source, failure, finishedAt }: FailedPull, again?: number): ProvisionerError {
  const { code, message, hint } = failure;
  return new ProvisionerError(code as ErrorCode, message, {
    ...(hint === null ? {} : { hint }),
    details: {
      source,
      failedAt: new Date(finishedAt).toISOString(),
      ...(again === undefined ? {} : { retryAt: new Date(again).toISOString() }),
    },
  });
}
