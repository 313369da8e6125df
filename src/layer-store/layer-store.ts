import { existsSync, renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { UnpackLimits } from '../base/config.js';
import { crashPoint } from '../base/crash-points.js';
import { fileError, throwIfAborted } from '../base/errors.js';
import { Turns, unhurried } from '../base/unhurried.js';
import type { LayerProgress, ProvisionerEmitter } from '../events.js';
import { makeDirectories } from '../files/tree/make-directories.js';
import type { WhiteoutFormat } from '../files/tree/whiteouts.js';
import { digestHex, type LayerId } from '../image/digest.js';
import type { LayerRecord, MetadataManager } from '../metadata/metadata-manager.js';
import type { StorePaths } from '../paths.js';
import { HostLimits } from '../registry/blobs/host-limits.js';
import { reportPassedOver } from '../registry/report-passed-over.js';
import type { SeamRequest } from '../seams/make-seam.js';
import type { OfferedLayer } from '../sources/puller.js';
import type { Fidelity } from '../store-directory/fidelity.js';
import type { StorePlace } from '../store-directory/store-place.js';
import type { Liveness } from '../system/locks/liveness.js';
import { StoppedWait, type StoppedWaitRoom } from '../system/locks/stopped-wait.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import { CommitBatch } from './commit-batch.js';
import type { DiskSync } from './disk-sync.js';
import { LayerFlights } from './layer-flights.js';
import type { Sweeper } from './sweeper.js';
import { UnrecordedLayers } from './unrecorded-layers.js';

export interface LayerStoreNeeds {
  readonly paths: StorePaths;
  /** Asked before something is put in a place of the store: a pull takes long. */
  readonly place: Pick<StorePlace, 'require'>;
  readonly metadata: MetadataManager;
  readonly pool: WorkerPool;
  readonly sweeper: Sweeper;
  readonly disk: DiskSync;
  readonly events: ProvisionerEmitter;
  readonly whiteouts: WhiteoutFormat;
  readonly privileged: boolean;
  /** Asked before layers are written. */
  readonly fidelity: Pick<Fidelity, 'beforeLayers'>;
  readonly limits: UnpackLimits;
  /** Whether layers get tar records. */
  readonly tarRecords: boolean;
  /** Who unpacks what, and whether he still lives. */
  readonly liveness: Liveness;
  /** Guards which directories under `layers/` may disappear: docs/architecture.md, "Locks", says who takes it. */
  readonly storeLock: StoreLock;
  /** Of those who wait for what another process pulls or stores. */
  readonly stoppedWaits: StoppedWaitRoom;
}

/** Is told how far a pull's layers are. */
export interface LayerWatcher {
  /** Something has happened to a layer. */
  update(layer: LayerId, phase: LayerProgress['phase'], bytes: number): void;
  /** Nothing may have happened: for who looks from time to time. */
  updateIfChanged(layer: LayerId, phase: LayerProgress['phase'], bytes: number): void;
}

/** One pull's view of the store: where it stages, and how long it lives. */
export interface PullContext {
  readonly pullId: string;
  /** Whose claims its layers are. */
  readonly liveness: Liveness;
  readonly signal: AbortSignal;
  readonly tracker: LayerWatcher;
  /** It has failed: aborts the signal. */
  readonly giveUp: (reason: unknown) => void;
  /** What reads from its source and stages in its place. It may go on for others when the pull has failed. */
  readonly atWork: Set<Promise<void>>;
}

interface StagedLayer {
  readonly directory: string;
  readonly record: LayerRecord;
  /** Of those who wait for it. */
  readonly signal: AbortSignal;
}

/** Between two looks at a layer that another process unpacks, in milliseconds. */
const CLAIM_POLL = [10, 20, 50, 100] as const;

/**
 * The layers on disk: each is unpacked once, whoever asks for it and however often, and stored once.
 *
 *   staging/<pull>/<n>  ──unpack──►  synced  ──rename──►  layers/<id>  ──record──►  usable
 *
 * In one process callers share a flight for each layer; across processes a claim in the records says who is at it. Either way one who waited makes the layer himself when the other has failed. A crash leaves at worst a
 * staging directory, or a complete layer without a record, which the next one to unpack that layer replaces.
 */
export class LayerStore {
  readonly #needs: LayerStoreNeeds;
  readonly #flights = new LayerFlights();
  readonly #hostLimits = new HostLimits();
  readonly #turns = new Turns();
  /** Pulls that wait for a layer which another pull of this process unpacks. */
  readonly #watchers = new Map<LayerId, Set<LayerWatcher>>();

  constructor(needs: LayerStoreNeeds) {
    this.#needs = needs;
  }

  /**
   * Makes sure that all these layers are stored. Those that are missing are unpacked at the same time, the largest first, so that the longest
   * job is not the last one to start.
   *
   * The first failure ends it: it is the one that is thrown, when what the others had under way is cancelled. Layers that are complete by then stay stored, and those that
   * another pull waits for go on for that one.
   */
  async ensure(layers: readonly OfferedLayer[], pull: PullContext): Promise<void> {
    const wanted = new Map(layers.map((layer) => [layer.diffId, layer]));
    const missing = new Set(await this.#needs.metadata.missingLayers([...wanted.keys()]));
    const toUnpack: OfferedLayer[] = [];
    for (const layer of wanted.values()) {
      if (missing.has(layer.diffId)) toUnpack.push(layer);
      else pull.tracker.update(layer.diffId, 'stored', layer.size);
    }
    if (toUnpack.length > 0) this.#needs.fidelity.beforeLayers();
    toUnpack.sort((a, b) => b.size - a.size);
    const own = toUnpack.filter((layer) => !this.#flights.has(layer.diffId));
    for (const layer of own) pull.tracker.update(layer.diffId, 'waiting', 0);
    const batch = this.#batch(own.length);
    let first: { readonly error: unknown } | undefined;
    const flights = toUnpack.map(async (layer, index) => {
      try {
        if (own.includes(layer)) await this.#fly(layer.diffId, pull, (it) => this.#unpackOnce(layer, index, batch, it));
        else await this.#watch(layer, index, pull);
      } catch (error) {
        first ??= { error };
        pull.giveUp(error);
      }
    });
    await Promise.all(flights);
    if (first !== undefined) throw first.error;
  }

  /**
   * Makes sure that a seam is stored, if it is needed. It is stored as layers are: once for all images that need it.
   * @param request without the target, which is staged here
   * @returns false when none is needed
   */
  async ensureSeam(id: LayerId, request: Omit<SeamRequest, 'target'>, pull: PullContext): Promise<boolean> {
    const { pool, metadata, paths, fidelity } = this.#needs;
    const make = async (directory: string, signal: AbortSignal): Promise<LayerRecord | undefined> => {
      fidelity.beforeLayers();
      const seam = await pool.run('make-seam', { ...request, target: directory }, { signal });
      if (seam.entries === 0) return undefined;
      const { entries, whiteouts, bytes } = seam;
      const ofSeam = { opaqueRoot: false, describesRoot: false, tar: 'seam', tarBytes: 0 } as const;
      return { id, bytes, entries, whiteouts, ...ofSeam };
    };
    await this.#fly(id, pull, ({ signal }) => {
      return this.#storeOnce(
        id,
        paths.stagedLayer(pull.pullId, id),
        this.#batch(1),
        { ...pull, signal },
        make,
        () => {},
      );
    });
    return (await metadata.getLayer(id)) !== undefined;
  }

  /**
   * Has a layer made, here or by another call.
   * @param make called when it is to be made here, with the signal of those who wait for it
   * @returns whether it was made here
   */
  async #fly(id: LayerId, pull: PullContext, make: (pull: PullContext) => Promise<void>): Promise<boolean> {
    const { atWork } = pull;
    let cancelled = false;
    let making: Promise<void> | undefined;
    try {
      return await this.#flights.run(
        id,
        (signal) => {
          signal.addEventListener('abort', () => {
            cancelled = true;
          });
          making = make({ ...pull, signal }).finally(() => making && atWork.delete(making));
          atWork.add(making);
          return making;
        },
        pull.signal,
      );
    } finally {
      // Its directory is let go of before the pull is told. What goes on for others is not waited for.
      if (cancelled) await making?.catch(() => {});
    }
  }

  #unpackOnce(layer: OfferedLayer, index: number, batch: CommitBatch<StagedLayer>, pull: PullContext): Promise<void> {
    const directory = this.#needs.paths.stagedLayer(pull.pullId, index);
    const report = (phase: LayerProgress['phase']) =>
      this.#report(pull, layer, phase, phase === 'shared' ? 0 : layer.size);
    return this.#storeOnce(layer.diffId, directory, batch, pull, (staged) => this.#unpack(layer, staged, pull), report);
  }

  /**
   * Claims a layer, makes it in a staging directory and publishes it; or waits until another process has done so.
   * @param make returns the layer's record, or undefined when there is nothing to store after all
   */
  async #storeOnce(
    id: LayerId,
    directory: string,
    batch: CommitBatch<StagedLayer>,
    { signal, liveness }: Pick<PullContext, 'signal' | 'liveness'>,
    make: (directory: string, signal: AbortSignal) => Promise<LayerRecord | undefined>,
    report: (phase: 'stored' | 'shared' | 'done') => void,
  ): Promise<void> {
    const { metadata, sweeper, stoppedWaits } = this.#needs;
    const wait = new StoppedWait(stoppedWaits, { deed: `works on layer ${id}`, details: { layer: id } });
    let ours: CommitBatch<StagedLayer> | undefined = batch;
    let recorded = false;
    try {
      for (let attempt = 0; ; attempt++) {
        // All layers of an image come here at once.
        await this.#turns.take();
        throwIfAborted(signal);
        const claim = await metadata.claimLayer(id, liveness.identity, liveness.isAlive);
        if (claim.state === 'recorded') {
          report('stored');
          return;
        }
        if (claim.state !== 'busy') break;
        // Another process is at it. The other layers of this batch need not wait for that one.
        ours?.leave();
        ours = undefined;
        report('shared');
        wait.goOn(claim.holder);
        await sleep(CLAIM_POLL[Math.min(attempt, CLAIM_POLL.length - 1)]);
      }
      try {
        throwIfAborted(signal);
        this.#needs.place.require();
        makeDirectories(directory);
        const record = await make(directory, signal);
        if (record === undefined) {
          sweeper.retire(directory, 'staged');
          return;
        }
        const arrival = ours ?? this.#batch(1);
        ours = undefined;
        await arrival.arrive({ directory, record, signal });
        recorded = true;
        report('done');
      } catch (error) {
        sweeper.retire(directory, 'staged');
        throw fileError(error, 'store a layer', directory);
      } finally {
        await this.#turns.take();
        // A layer that is recorded has no claim any more. What cannot be written ends with the life of the pull.
        if (!recorded) await metadata.releaseLayerClaims(liveness.identity, [id]).catch(() => {});
      }
    } finally {
      wait.end();
      ours?.leave();
    }
  }

  async #unpack(layer: OfferedLayer, directory: string, pull: PullContext): Promise<LayerRecord> {
    const { pool, whiteouts, privileged, limits, tarRecords: keepTar, events } = this.#needs;
    const { location: blob, digest, diffId } = layer;
    let read = 0;
    const report = (bytes: number) => {
      events.count('layerBytesRead', Math.max(bytes - read, 0));
      read = Math.max(bytes, read);
      this.#report(pull, layer, 'unpacking', bytes);
    };
    const run = (from: OfferedLayer['location']) =>
      pool.run(
        'unpack-layer',
        { blob: from, digest, diffId, directory, format: whiteouts, privileged, limits, keepTar },
        { signal: pull.signal, onStart: () => report(0), onProgress: report },
      );
    const { skipped, passedOver, ...record } =
      blob.kind === 'registry'
        ? await this.#hostLimits.withBlob(blob, (share) => run({ ...blob, share }), pull.signal)
        : await run(blob);
    report(layer.size);
    events.count('layersUnpacked');
    for (const host of passedOver) reportPassedOver(events, host);
    const { owners, devices, xattrs } = skipped;
    if (owners + devices + xattrs > 0) {
      events.emit('warning', {
        code: 'ATTRIBUTES_SKIPPED',
        message: `layer ${diffId}: ${owners} owners, ${devices} devices and ${xattrs} extended attributes could not be kept`,
        details: { layer: diffId, ...skipped },
      });
    }
    return { id: diffId, ...record };
  }

  #batch(size: number): CommitBatch<StagedLayer> {
    return new CommitBatch(size, (staged) => this.#publish(staged));
  }

  /** Syncs once, renames, records: in this order a record never names what a power cut could take away. */
  async #publish(staged: readonly StagedLayer[]): Promise<void> {
    const { paths, place, disk, metadata } = this.#needs;
    place.require();
    crashPoint('pull.unpacked');
    await disk.all();
    crashPoint('pull.synced');
    for await (const layer of unhurried(staged)) {
      const target = paths.layer(layer.record.id);
      // The claim keeps others from it; what is recorded may be in use and is never moved.
      if ((await metadata.getLayer(layer.record.id)) !== undefined) continue;
      if (existsSync(target)) await this.#replace(layer);
      else renameSync(layer.directory, target);
      crashPoint('pull.oneRenamed');
    }
    disk.directory(paths.layers);
    crashPoint('pull.published');
    await metadata.putLayers(staged.map(({ record }) => record));
    crashPoint('pull.layersRecorded');
  }

  /**
   * A complete layer stands in its place without a record: a crash came between the rename and the record, and this one is as good as that. It stays all the
   * same when something may show it, or when it has been recorded by now, and when it cannot be moved but is sound.
   */
  async #replace({ directory, record: { id }, signal }: StagedLayer): Promise<void> {
    const { storeLock, sweeper, paths, metadata } = this.#needs;
    const replace = async () => {
      const stays =
        (await metadata.getLayer(id)) !== undefined ||
        (await new UnrecordedLayers(this.#needs).whyItStays(id)) !== undefined;
      if (stays) return;
      try {
        const retired = sweeper.mark(paths.layer(id), digestHex(id));
        if (retired !== undefined) sweeper.sweep(retired);
      } catch (error) {
        if (!(await this.#isSound(paths.layer(id)))) throw fileError(error, 'replace a layer', paths.layer(id));
        return;
      }
      renameSync(directory, paths.layer(id));
    };
    await storeLock.withExclusive('pull', replace, signal);
    sweeper.retire(directory, 'staged');
  }

  /** Whether a layer's directory is as it was stored, by its counts and sizes. */
  async #isSound(directory: string): Promise<boolean> {
    const [checked] = await this.#needs.pool.run('check-layers', { directories: [directory], mode: 'quick' });
    return checked?.count === 0;
  }

  /** Tells a pull of a layer that another one unpacks, until that has come to its end; unpacks it when that one has failed. */
  async #watch(layer: OfferedLayer, index: number, pull: PullContext): Promise<void> {
    const { diffId, size } = layer;
    const { tracker } = pull;
    const watchers = this.#watchers.get(diffId) ?? new Set();
    this.#watchers.set(diffId, watchers.add(tracker));
    const leave = () => {
      watchers.delete(tracker);
      if (watchers.size === 0 && this.#watchers.get(diffId) === watchers) this.#watchers.delete(diffId);
    };
    tracker.update(diffId, 'shared', 0);
    try {
      const isOwn = await this.#fly(diffId, pull, (it) => {
        leave();
        tracker.update(diffId, 'waiting', 0);
        return this.#unpackOnce(layer, index, this.#batch(1), it);
      });
      if (!isOwn) tracker.update(diffId, 'stored', size);
    } finally {
      leave();
    }
  }

  #report({ tracker }: PullContext, layer: OfferedLayer, phase: LayerProgress['phase'], bytes: number): void {
    tracker.updateIfChanged(layer.diffId, phase, bytes);
    if (phase !== 'unpacking') return;
    for (const watcher of this.#watchers.get(layer.diffId) ?? []) watcher.update(layer.diffId, 'shared', bytes);
  }
}
