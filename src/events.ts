import { EventEmitter } from 'node:events';
import type { WarningCode } from './base/codes/code-tables.js';
import type { CounterName } from './base/codes/counter-tables.js';
import type { ImageId, LayerId } from './image/digest.js';

/** What a provisioner tells its embedder while it works. The library itself never prints. */
export interface ProvisionerEvents {
  /** A pull has learnt what it needs. `bytes` is compressed, -1 where the source does not say. */
  pullStarted: [{ pullId: string; source: string; image: ImageId; layers: number; bytes: number }];
  /** One layer's progress: at its start, at least once a second until its end, also while it waits or nothing arrives, and at its end. */
  layerProgress: [LayerProgress];
  /** Another process, or another call with other terms, pulls the same; this one waits for that, and tells of its layers. */
  pullWaiting: [{ pullId: string; source: string; pid: number; since: number }];
  pullFinished: [{ pullId: string; source: string; image: ImageId; milliseconds: number }];
  /** It has failed with its first error. */
  pullFailed: [{ pullId: string; source: string; error: unknown }];
  /** A check has compared one more layer; `done` of `total` are through. */
  checkProgress: [{ layer: LayerId; done: number; total: number }];
  /** Something the library chose to survive, and why that is safe. */
  warning: [{ code: WarningCode; message: string; details: Readonly<Record<string, string | number>> }];
}

export interface LayerProgress {
  readonly pullId: string;
  readonly layer: LayerId;
  /**
   * `waiting`: its turn has not come. `unpacking`: it is read, checked and written in one pass; at the end it waits for the others, to be
   * published with them. `shared`: another pull unpacks it, this one waits for it. `stored`: it was there already. `done`: this pull stored it.
   */
  readonly phase: 'waiting' | 'unpacking' | 'shared' | 'stored' | 'done';
  /** Compressed bytes consumed. */
  readonly bytes: number;
  /** Compressed bytes in all, -1 when unknown. */
  readonly total: number;
  /** Over the last few seconds; 0 when nothing arrives. */
  readonly bytesPerSecond: number;
}

/**
 * Nothing that a listener does reaches the work that it is told of: what it throws is thrown again in a microtask of its own, as if nobody had called it, so it
 * is an `uncaughtException` of its author's, and the other listeners are told all the same. The promise of an asynchronous one is left to itself, as Node does.
 */
export class ProvisionerEmitter extends EventEmitter<ProvisionerEvents> {
  readonly #counts = new Map<CounterName, number>();

  /** For the library itself: counts what has happened, of which no event may tell. Nobody has to listen. @param by not negative */
  count(name: CounterName, by = 1): void {
    this.#counts.set(name, this.counted(name) + by);
  }

  /** How often, or how much, so far. */
  counted(name: CounterName): number {
    return this.#counts.get(name) ?? 0;
  }

  override emit<Name>(
    name: Name | keyof ProvisionerEvents,
    ...payload: Name extends keyof ProvisionerEvents ? ProvisionerEvents[Name] : never
  ): boolean {
    if (name === 'warning') this.count('warnings');
    // With the wrappers of `once`, which take themselves away.
    const listeners = this.rawListeners(name);
    for (const listener of listeners) {
      try {
        Reflect.apply(listener, this, payload);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    return listeners.length > 0;
  }
}
