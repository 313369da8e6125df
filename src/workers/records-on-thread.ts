import type { LongWork } from '../metadata/long-work.js';
import type { RecordsPlace } from '../metadata/sqlite/sqlite-long-work.js';
import type { JobKind, Jobs } from './jobs.js';
import { WorkerPool } from './worker-pool.js';

/** Does the long work on the records on a thread that has nothing else to do: a prune with the lock held waits for no unpacking. */
export function longWorkOn(records: RecordsPlace): LongWork {
  const pool = new WorkerPool(1);
  const running = new Set<Promise<unknown>>();
  const run = <Kind extends JobKind>(kind: Kind, request: Jobs[Kind]['request']): Promise<Jobs[Kind]['result']> => {
    const job = pool.run(kind, request).finally(() => running.delete(job));
    running.add(job);
    return job;
  };
  return {
    prepare: () => run('prepare-records', records),
    removeUnused: (removal, process, exactly) =>
      run('remove-unused-records', { ...records, removal, process, exactly }),
    verify: () => run('verify-records', records),
    close: async () => {
      // Its thread loads SQLite on the way, and must not be ended meanwhile: see `worker.ts`.
      await Promise.allSettled(running);
      await pool.close();
    },
  };
}
