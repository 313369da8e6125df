import { availableParallelism, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { anySignal } from '../base/any-signal.js';
import { abortedError, systemCode } from '../base/errors.js';
import type { TakeMemory } from '../system/compression/window-memory.js';
import { tellNativeLoading } from '../system/native-loading.js';
import { noteDescriptorsOn } from '../system/syscalls/held-descriptors.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../system/syscalls/load-tree-calls.js';
import type { StackDependence } from '../unpack/stacking.js';
import { receiveThrough, sendThrough } from './byte-port.js';
import { packError } from './error-transport.js';
import type { FromWorker, JobKind, Jobs, ToWorker, WorkerData } from './jobs.js';
import { requireMarks } from './require-marks.js';
import { SharedMemory } from './shared-memory.js';

/** At least so many milliseconds between two reports of progress. */
const PROGRESS_INTERVAL = 100;

interface JobContext {
  readonly signal: AbortSignal;
  readonly isCancelled: () => boolean;
  readonly progress: (bytes: number) => void;
  readonly takeMemory: TakeMemory;
}

type Handlers = {
  [Kind in JobKind]: (
    request: Jobs[Kind]['request'],
    context: JobContext,
  ) => Jobs[Kind]['result'] | Promise<Jobs[Kind]['result']>;
};

/** A thread loads what its jobs need when they need it: few have jobs of more than one kind. */
const handlers: Handlers = {
  'unpack-layer': async (request, { signal, isCancelled, progress, takeMemory }) => {
    requireMarks(request.format);
    const { unpackStored } = await import('./unpack-stored.js');
    return unpackStored(request, {
      syscalls: loadSyscalls(),
      signal,
      isCancelled,
      progress,
      hasSpareProcessor,
      takeMemory,
    });
  },
  'inflate-archive': async ({ from, ...target }, { signal, takeMemory }) => {
    const [{ inflateArchive }, { readStoredFile }] = await Promise.all([
      import('../unpack/inflate-archive.js'),
      import('../unpack/stored-file.js'),
    ]);
    const stored = from.kind === 'port' ? receiveThrough(from.port) : readStoredFile({ ...from, offset: 0 }, signal);
    const giveUp = () => from.kind === 'port' && from.port.close();
    return inflateArchive(stored, target, { signal, hasSpareProcessor, takeMemory }, giveUp);
  },
  'make-seam': async (request, { isCancelled }) => {
    requireMarks(request.whiteouts);
    const { makeSeam } = await import('../seams/make-seam.js');
    return makeSeam(request, loadTreeCalls(loadSyscalls()), isCancelled);
  },
  'read-stackings': async ({ directories }, context) => {
    const { dependenceOf } = await import('../unpack/stacking.js');
    const dependences: StackDependence[] = [];
    for (const directory of directories) {
      throwIfCancelled(context);
      dependences.push(await dependenceOf(directory));
    }
    return dependences;
  },
  'rebuild-layer': async ({ directory, diffId, port }, context) => {
    const { signal } = context;
    const pieces = async function* () {
      const { archiveOf } = await import('../files/tar-record/rebuild-tar.js');
      yield* archiveOf(directory, diffId, loadTreeCalls(loadSyscalls()), 'given');
    };
    // It listens at once: that the port is closed is told once.
    const sent = sendThrough(pieces(), port, true);
    const close = () => port.close();
    signal.addEventListener('abort', close, { once: true });
    if (signal.aborted) close();
    await sent;
    throwIfCancelled(context);
  },
  'check-layers': async ({ directories, mode }, context) => {
    const [{ checkLayer }, { checkArchive }] = await Promise.all([
      import('../files/contents/check-layer.js'),
      import('../files/tar-record/check-archive.js'),
    ]);
    const calls = loadTreeCalls(loadSyscalls());
    const pause = () => throwIfCancelled(context);
    return directories.map((directory) => {
      const checked = checkLayer({ directory, mode }, calls, pause);
      return mode === 'full' ? checkArchive(directory, checked, calls, pause) : checked;
    });
  },
  'copy-layers': async (request, { isCancelled }) => {
    requireMarks(request.whiteouts);
    const { copyLayers } = await import('../files/tree/copying/copy-layers.js');
    return copyLayers({ ...request, isCancelled });
  },
  'remove-tree': async ({ path, gentle }, { isCancelled }) => {
    const { removeTree } = await import('../files/tree/removal/remove-tree.js');
    if (gentle) beGentle();
    return removeTree(path, { isCancelled });
  },
  'remove-covered': async (request, { isCancelled }) => {
    const { removeCovered } = await import('../files/tree/removal/remove-covered.js');
    removeCovered(request, loadSyscalls(), isCancelled);
  },
  'sync-file-system': ({ path }) => syncFileSystem(path),
  'prepare-records': async (request) => (await onRecords()).prepareRecords(request),
  'remove-unused-records': async (request) => (await onRecords()).removeUnusedRecords(request),
  'verify-records': async (request) => (await onRecords()).verifyRecords(request),
  'measure-written': async ({ paths, leastPerName }, context) => {
    const { measureTrees } = await import('../files/tree/measure-tree.js');
    return measureTrees(paths, { leastPerName, skipUnreadable: true, pause: () => throwIfCancelled(context) });
  },
  'measure-tree': async ({ path, ...options }, context) => {
    const { measureTree } = await import('../files/tree/measure-tree.js');
    return measureTree(path, { ...options, pause: () => throwIfCancelled(context) });
  },
};

function throwIfCancelled({ isCancelled, signal }: JobContext): void {
  if (isCancelled()) throw abortedError(signal);
}

const onRecords = () => import('../metadata/sqlite/sqlite-long-work.js');

/** A tenth of an ordinary thread's share when the processors are busy: the lowest priority would all but stop it, and somebody waits for the space. */
const GENTLE_PRIORITY = 10;

/** On Linux a priority belongs to the thread that sets it, and 0 is that thread. @see setpriority(2), "C library/kernel differences" */
function beGentle(): void {
  try {
    if (process.platform === 'linux') setPriority(0, GENTLE_PRIORITY);
  } catch {
    // Then it deletes with everybody's priority.
  }
}

function syncFileSystem(path: string): undefined {
  try {
    loadSyscalls().syncFileSystem(path);
  } catch (error) {
    // Without native calls there is none; the kernel then writes within its usual half a minute.
    if (systemCode(error) !== 'ENOTSUP') throw error;
  }
}

const { busy, loading, descriptors } = workerData as WorkerData;
const processors = availableParallelism();
/** As far as this pool knows: each of its threads at work has one. */
const hasSpareProcessor = (): boolean => Atomics.load(busy, 0) < processors;

const memory = new SharedMemory(post);
let current: AbortController | undefined;

function post(message: FromWorker): void {
  parentPort?.postMessage(message);
}

async function run(kind: JobKind, request: Jobs[JobKind]['request'], cancelled: Int32Array): Promise<void> {
  current = new AbortController();
  const { signal } = current;
  let reported = 0;
  const context: JobContext = {
    signal,
    takeMemory: (bytes, wanted) => memory.take(bytes, anySignal([signal, wanted])),
    isCancelled: () => Atomics.load(cancelled, 0) === 1,
    progress: (bytes) => {
      const now = performance.now();
      if (now - reported < PROGRESS_INTERVAL) return;
      reported = now;
      post({ type: 'progress', bytes });
    },
  };
  try {
    const handler = handlers[kind] as (request: Jobs[JobKind]['request'], context: JobContext) => unknown;
    post({ type: 'done', result: (await handler(request, context)) as Jobs[JobKind]['result'] });
  } catch (error) {
    // Whatever a cancelled job stumbled over, it was cancelled.
    post({ type: 'failed', error: packError(context.isCancelled() ? abortedError(signal) : error) });
  } finally {
    current = undefined;
  }
}

async function prepare(): Promise<void> {
  try {
    const { loadFetching } = await import('./unpack-stored.js');
    await loadFetching();
  } catch {
    // The job that needs it will say so.
  }
}

parentPort?.on('message', (message: ToWorker) => {
  if (message.type === 'cancel') current?.abort();
  else if (message.type === 'prepare') void prepare();
  else if (message.type === 'memory') memory.granted(message.ticket);
  else void run(message.kind, message.request, message.cancelled);
});

tellNativeLoading(loading);
noteDescriptorsOn(descriptors);
// A thread that is ended while it loads a native module takes the whole process with it, so that is done before anybody may end it.
loadSyscalls();
post({ type: 'ready' });
