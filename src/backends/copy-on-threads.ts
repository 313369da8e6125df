import { anySignal } from '../base/any-signal.js';
import type { CopyLayersResult } from '../files/tree/copying/copy-layers.js';
import { createCopyShares } from '../files/tree/copying/copy-share.js';
import type { Jobs } from '../workers/jobs.js';
import type { WorkerPool } from '../workers/worker-pool.js';

/**
 * One copy by several threads of a pool.
 * @returns what each has done @throws what the first of those threw that failed, when all have ended
 */
export async function copyOnThreads(
  pool: WorkerPool,
  job: Omit<Jobs['copy-layers']['request'], 'share'>,
  threads: number,
  signal: AbortSignal | undefined,
): Promise<CopyLayersResult[]> {
  const failed = new AbortController();
  const wanted = signal === undefined ? failed.signal : anySignal([failed.signal, signal]);
  const copies = createCopyShares(threads).map(async (share) => {
    try {
      return await pool.run('copy-layers', { ...job, share }, { signal: wanted });
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  const outcomes = await Promise.allSettled(copies);
  // The others fail because the first one did; their errors say no more than that they were cancelled.
  if (failed.signal.aborted) throw failed.signal.reason;
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}
