// A thread that inflates zstd until it is ended.
import { parentPort } from 'node:worker_threads';
import { inflateZstd } from '../../build/system/compression/inflate-zstd.js';
import { loadZstd } from '../../build/system/compression/zstd/load-zstd.js';

const block = Buffer.from([2, 0, 16, 7]);
const frame = Buffer.concat([
  Buffer.from('28b52ffd0078', 'hex'),
  ...Array.from({ length: 400 }, () => block),
  Buffer.from([1, 0, 0]),
]);

async function* frames() {
  for (;;) yield frame;
}

let told = false;
const options = {
  chunkSize: 1 << 19,
  highWaterMark: 1 << 20,
  hasSpareProcessor: () => true,
  takeMemory: async () => () => {},
};
for await (const _ of inflateZstd(frames(), options, loadZstd())) {
  if (!told) parentPort?.postMessage('inflating');
  told = true;
}
