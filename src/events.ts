import { EventEmitter } from 'node:events';
import type { ImageId, LayerId } from './image/digest.js';

/** What a provisioner tells its embedder while it works. The library itself never prints. */
export interface ProvisionerEvents {
  /** A pull has learnt what it needs. `bytes` is compressed, -1 where the source does not say. */
  pullStarted: [{ pullId: string; source: string; image: ImageId; layers: number; bytes: number }];
  /** One layer's progress: at its start, at least once a second while it runs, and at its end. */
  layerProgress: [LayerProgress];
  pullFinished: [{ pullId: string; source: string; image: ImageId; milliseconds: number }];
  pullFailed: [{ pullId: string; source: string; error: unknown }];
  /** A check has compared one more layer; `done` of `total` are through. */
  checkProgress: [{ layer: LayerId; done: number; total: number }];
  /** Something the library chose to survive, and why that is safe. */
  warning: [{ code: string; message: string; details: Readonly<Record<string, string | number>> }];
}

export interface LayerProgress {
  readonly pullId: string;
  readonly layer: LayerId;
  /** `stored`: the layer was there already. `shared`: another pull unpacks it, this one waits for it. */
  readonly phase: 'waiting' | 'unpacking' | 'shared' | 'stored' | 'done';
  /** Compressed bytes consumed. */
  readonly bytes: number;
  /** Compressed bytes in all, -1 when unknown. */
  readonly total: number;
}

export class ProvisionerEmitter extends EventEmitter<ProvisionerEvents> {}
