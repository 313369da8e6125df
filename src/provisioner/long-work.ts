import type { LongWork } from '../metadata/long-work.js';
import type { RecordsPlace } from '../metadata/sqlite-long-work.js';
import { WorkerPool } from '../workers/worker-pool.js';

/** Does the long work on the records on a thread that has nothing else to do: a prune with the lock held waits for no unpacking. */
export function longWorkOn(records: RecordsPlace): LongWork {
  const pool = new WorkerPool(1);
  return {
    prepare: () => pool.run('prepare-records', records),
    removeUnused: (removal, process, exactly) =>
      pool.run('remove-unused-records', { ...records, removal, process, exactly }),
    verify: () => pool.run('verify-records', records),
    close: () => pool.close(),
  };
}
