import { Worker } from 'node:worker_threads';
import type { CopyLayersOptions, CopyLayersResult } from '#src/files/tree/copying/copy-layers.js';
import { createCopyShares } from '#src/files/tree/copying/copy-share.js';

const SCRIPT = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.module).then(({ copyLayers }) => parentPort.postMessage(copyLayers(workerData.options)));
`;

/** Copies with so many threads at once. */
export function copyInThreads(
  threads: number,
  options: Omit<CopyLayersOptions, 'share' | 'isCancelled' | 'syscalls'>,
): Promise<CopyLayersResult[]> {
  const module = import.meta.resolve('#src/files/tree/copying/copy-layers.js');
  const results = createCopyShares(threads).map(
    (share) =>
      new Promise<CopyLayersResult>((resolve, reject) => {
        const worker = new Worker(SCRIPT, { eval: true, workerData: { module, options: { ...options, share } } });
        worker.once('message', resolve).once('error', reject);
      }),
  );
  return Promise.all(results);
}
