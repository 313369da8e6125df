import type { MessagePort } from 'node:worker_threads';
import type { CheckedLayer, CheckMode } from '../files/contents/check-layer.js';
import type { CopyLayersOptions, CopyLayersResult } from '../files/tree/copying/copy-layers.js';
import type { TreeSize } from '../files/tree/measure-tree.js';
import type { CoveredPlace } from '../files/tree/removal/remove-covered.js';
import type { RemoveTreeResult } from '../files/tree/removal/remove-tree.js';
import type { DiffId } from '../image/digest.js';
import type { Removed } from '../metadata/metadata-manager.js';
import type { RecordsPlace, RemovalRequest } from '../metadata/sqlite/sqlite-long-work.js';
import type { PassedOver, RegistryBlob } from '../registry/blobs/registry-blob.js';
import type { MadeSeam, SeamRequest } from '../seams/make-seam.js';
import type { CompressedArchive, InflatedArchive, InflateTarget } from '../unpack/inflate-archive.js';
import type { StackDependence } from '../unpack/stacking.js';
import type { FileBlob } from '../unpack/stored-file.js';
import type { LayerTarget, UnpackedLayer } from '../unpack/unpack-layer.js';

/** What worker threads do: for each kind of job what goes in and what comes out. All of it can be cloned. */
export interface Jobs {
  'unpack-layer': { request: UnpackJob; result: UnpackedJob };
  /** Writes an archive out, inflated. */
  'inflate-archive': { request: InflateArchiveJob; result: InflatedArchive };
  'make-seam': { request: SeamRequest; result: MadeSeam };
  /** Of layers' directories. */
  'read-stackings': { request: { readonly directories: readonly string[] }; result: StackDependence[] };
  /** Makes a layer's archive again, and sends it. Resolves when the other side has all of it, or wants no more. */
  'rebuild-layer': { request: RebuildLayerJob; result: undefined };
  'check-layers': { request: CheckLayersJob; result: CheckedLayer[] };
  'copy-layers': { request: Omit<CopyLayersOptions, 'isCancelled' | 'syscalls'>; result: CopyLayersResult };
  /** `gentle` lowers the thread's priority, for good. */
  'remove-tree': { request: { readonly path: string; readonly gentle?: boolean }; result: RemoveTreeResult };
  /** The thread is good for nothing else afterwards: it has left the mount namespace of the others. */
  'remove-covered': { request: CoveredPlace; result: undefined };
  'sync-file-system': { request: { readonly path: string }; result: undefined };
  'prepare-records': { request: RecordsPlace; result: undefined };
  'remove-unused-records': { request: RemovalRequest; result: Removed };
  'verify-records': { request: RecordsPlace; result: string[] };
  /** Of directories of which some may have gone: bytes, of all together. */
  'measure-written': { request: { readonly paths: readonly string[]; readonly leastPerName: number }; result: number };
  'measure-tree': { request: { readonly path: string; readonly skipUnreadable?: boolean }; result: TreeSize };
}

export interface InflateArchiveJob extends InflateTarget {
  /** A compressed archive that lies in a file, or comes through a port as `sendThrough` sends it. */
  readonly from:
    | Extract<CompressedArchive, { readonly kind: 'file' }>
    | { readonly kind: 'port'; readonly port: MessagePort };
}

export interface RebuildLayerJob {
  /** The layer's, absolute. */
  readonly directory: string;
  readonly diffId: DiffId;
  readonly port: MessagePort;
}

export interface CheckLayersJob {
  readonly directories: readonly string[];
  readonly mode: CheckMode;
}

export interface UnpackJob extends LayerTarget {
  readonly blob: (FileBlob & { readonly kind: 'file' }) | RegistryBlob;
}

export interface UnpackedJob extends UnpackedLayer {
  /** Hosts that failed before another one gave the layer. */
  readonly passedOver: readonly PassedOver[];
}

export type JobKind = keyof Jobs;

/**
 * What a job may wait for, for as long as somebody else likes: nobody, but for the processors; a network, or whoever writes to a stream; whoever reads a stream. Each kind has places of its own, so that
 * none holds up another. What looks again and again whether a limit is kept is apart too: a limit does not wait until a large image is unpacked, nor that for the limits of many.
 */
export type Places = 'processors' | 'network' | 'readers' | 'limits';

export function placesOf(kind: JobKind, request: Jobs[JobKind]['request']): Places {
  if (kind === 'rebuild-layer') return 'readers';
  if (kind === 'measure-written') return 'limits';
  const waits =
    kind === 'inflate-archive'
      ? (request as InflateArchiveJob).from.kind === 'port'
      : kind === 'unpack-layer' && (request as UnpackJob).blob.kind === 'registry';
  return waits ? 'network' : 'processors';
}

/** To a worker. One job at a time; a cancel is for the job it has. */
export type ToWorker =
  | {
      readonly type: 'run';
      readonly kind: JobKind;
      readonly request: Jobs[JobKind]['request'];
      /** Its first element is 1 once the job is cancelled: what code that never yields looks at. */
      readonly cancelled: Int32Array;
    }
  | { readonly type: 'cancel' }
  /** The memory that was asked for with this number may be used. */
  | { readonly type: 'memory'; readonly ticket: number }
  /** A layer of a registry will come in a moment. */
  | { readonly type: 'prepare' };

/** What a worker is given when it starts. */
export interface WorkerData {
  /** Its first element is the number of threads of the pool that are at work. */
  readonly busy: Int32Array;
  /** Its first element is the number of native modules that this thread is loading. */
  readonly loading: Int32Array;
  /** Has what this thread has open; see `held-descriptors.ts`. */
  readonly descriptors: Int32Array;
}

/** From a worker. */
export type FromWorker =
  /** It has loaded what it needs, native modules too. */
  | { readonly type: 'ready' }
  | { readonly type: 'progress'; readonly bytes: number }
  /** It wants memory of those that all threads share, and is answered when there is some. */
  | { readonly type: 'take-memory'; readonly bytes: number; readonly ticket: number }
  /** It gives it back, or does not want it any more. */
  | { readonly type: 'give-memory' }
  | { readonly type: 'done'; readonly result: Jobs[JobKind]['result'] }
  | { readonly type: 'failed'; readonly error: unknown };
