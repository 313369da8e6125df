// A thread that inflates until it is ended.
import { parentPort } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { inflateGzip } from '../../build/system/compression/inflate-gzip.js';
import { loadIsal } from '../../build/system/compression/isal/load-isal.js';

const member = gzipSync(
  Buffer.from(Array.from({ length: 1 << 16 }, (_, index) => (index * index) >> 7))
    .toString('hex')
    .repeat(64),
  { level: 1 },
);

async function* members() {
  for (;;) yield member;
}

let told = false;
const options = { chunkSize: 1 << 19, highWaterMark: 1 << 20, hasSpareProcessor: () => true };
for await (const _ of inflateGzip(members(), options, loadIsal())) {
  if (!told) parentPort?.postMessage('inflating');
  told = true;
}
