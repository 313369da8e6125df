// A thread that takes a job up, opens a directory in the way that goes past Node, and never looks up again. Before that it may ask for memory, or load something native.
import { parentPort, workerData } from 'node:worker_threads';
import { loadNative, tellNativeLoading } from '../../build/system/native-loading.js';
import { noteDescriptorsOn } from '../../build/system/syscalls/held-descriptors.js';
import { loadSyscalls } from '../../build/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../../build/system/syscalls/load-tree-calls.js';

tellNativeLoading(workerData.loading);
noteDescriptorsOn(workerData.descriptors);
const calls = loadTreeCalls(loadSyscalls());
const held = [];

function spin(milliseconds) {
  for (const until = performance.now() + milliseconds; performance.now() < until; );
}

function spinForEver(directory) {
  held.push(calls.openDirectory(directory));
  parentPort.postMessage({ type: 'progress', bytes: 1 });
  for (;;) spin(1000);
}

let job;
parentPort.on('message', ({ type, request }) => {
  if (type === 'memory') spinForEver(job.directory);
  if (type !== 'run') return;
  job = request;
  if (job.what === 'answer') parentPort.postMessage({ type: 'done', result: undefined });
  else if (job.what === 'memory') parentPort.postMessage({ type: 'take-memory', bytes: 2 ** 27, ticket: 1 });
  else {
    if (job.what === 'load') loadNative(() => spin(job.milliseconds));
    spinForEver(job.directory);
  }
});
parentPort.postMessage({ type: 'ready' });
