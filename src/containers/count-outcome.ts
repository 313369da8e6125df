import type { ErrorCode } from '../base/codes/code-tables.js';
import type { CounterName } from '../base/codes/counter-tables.js';
import { isProvisionerError } from '../base/errors.js';
import type { ProvisionerEmitter } from '../events.js';

/** What is counted of a call that makes or takes something, and of one that fails. */
export type Outcome = Readonly<Record<'done' | 'failed', CounterName>>;

export const MADE: Outcome = { done: 'provisions', failed: 'provisionErrors' };
export const DESTROYED: Outcome = { done: 'destroys', failed: 'removeContainerErrors' };

/** What was given up, or may not be, is no failure. */
const NOT_TO_BE: readonly ErrorCode[] = ['ERR_ABORTED', 'ERR_CLOSED', 'ERR_CONTAINER_FOREIGN'];

/** Counts what comes of work; false is nothing that was done. */
export async function countOutcome<T>(
  events: Pick<ProvisionerEmitter, 'count'>,
  { done, failed }: Outcome,
  work: () => Promise<T>,
): Promise<T> {
  try {
    const result = await work();
    if (result !== false) events.count(done);
    return result;
  } catch (error) {
    if (!isProvisionerError(error, ...NOT_TO_BE)) events.count(failed);
    throw error;
  }
}
