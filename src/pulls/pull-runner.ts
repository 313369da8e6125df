import { setMaxListeners } from 'node:events';
import { statfs } from 'node:fs/promises';
import { anySignal } from '../base/any-signal.js';
import type { PullLimits } from '../base/config.js';
import { crashPoint } from '../base/crash-points.js';
import { firstLine, isProvisionerError } from '../base/errors.js';
import { formatPlatform, type Platform } from '../image/platform.js';
import { parseReference } from '../image/reference.js';
import { completeStack } from '../layer-store/image-stack.js';
import { LayerStore, type LayerStoreNeeds, type PullContext } from '../layer-store/layer-store.js';
import { retireAbandoned } from '../layer-store/reconcile-staging.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import type { PullResult } from '../metadata/pulls/pull-records.js';
import type { ImageFailures } from '../sources/image-failures.js';
import type { Offer, OfferedImage } from '../sources/puller.js';
import type { Liveness } from '../system/locks/liveness.js';
import { orAborted } from '../system/locks/or-aborted.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import { admit } from './admission.js';
import { failureOf } from './cool-down.js';
import { namingOf } from './foreign-images.js';
import type { OpenOffer } from './opening.js';
import { PullTracker } from './pull-tracker.js';
import type { Registries } from './registries.js';

export interface PullNeeds extends LayerStoreNeeds {
  readonly registries: Registries;
  readonly limits: PullLimits;
  /** Milliseconds for which a failed pull is not repeated unless forced. */
  readonly coolDown: number;
}

interface RunningPull extends PullContext {
  readonly tracker: PullTracker;
}

export interface RunContext {
  /** Announced. */
  readonly pullId: string;
  readonly signal: AbortSignal | undefined;
  /** Its life, which ends with it. */
  readonly liveness: Liveness;
  /** The names that the image is to be given, when the source calls it `ofSource`. */
  readonly namesFor: (ofSource: readonly string[]) => readonly string[];
  /** Takes the failures of single images of a source that has several, so that the others are stored. Default: the first one ends the run. */
  readonly failures?: ImageFailures | undefined;
}

export interface RunOptions {
  readonly platform: Platform;
  readonly maxImageBytes?: number | undefined;
}

/** What became of one image. */
export interface RunImage extends ImageRecord {
  /** Names that this run gave it. */
  readonly namesGiven: readonly string[];
  readonly ofSource: readonly string[];
}

/**
 * Runs one announced pull, and leaves its outcome in the records:
 *
 *   staging of the dead ──► open the source ──► for each image: lease its layers ──► admit ──► layers ──► seams ──► image and names
 *
 * Whatever comes of it, nothing is left in staging and no lease stays open. A pull that has failed keeps both while it unpacks a layer that another pull waits for; its caller is told at once.
 */
export class PullRunner {
  readonly #needs: PullNeeds;
  readonly #layers: LayerStore;
  /** Pulls that have failed and go on for others. */
  readonly #goingOn = new Set<Promise<void>>();
  /** Pulls that have something in staging. */
  readonly #staging = new Set<string>();

  constructor(needs: PullNeeds) {
    this.#needs = needs;
    this.#layers = new LayerStore(needs);
  }

  /** @param open reads what the source offers @throws what it throws, and what `unpackLayer` and `admit` throw */
  async run(
    { pullId, signal, namesFor, liveness, failures }: RunContext,
    source: string,
    options: RunOptions,
    open: OpenOffer,
  ): Promise<RunImage[]> {
    const { paths, events, metadata } = this.#needs;
    const started = performance.now();
    let current: OfferedImage['id'] | undefined;
    const tracker = new PullTracker({
      pullId,
      emit: (progress) => events.emit('layerProgress', progress),
      save: async (layers) => {
        if (current !== undefined) await metadata.reportPull(pullId, { image: current, layers });
      },
    });
    const pull: RunningPull = { pullId, liveness, tracker, ...pullSignal(signal), atWork: new Set() };
    let offer: Offer | undefined;
    let ending: Ending | undefined;
    events.count('pullsBegun');
    try {
      crashPoint('pull.leased');
      this.#staging.add(pullId);
      // Before something is taken for dead that others may have, in records of which this process knows nothing.
      this.#needs.metadata.requireInPlace();
      await this.#takeAbandoned(pullId);
      offer = await open(paths.pullStaging(pullId), pull.signal);
      const images: RunImage[] = [];
      const shared = this.#sharedNames(offer.images, pullId);
      for (const each of offer.images) {
        const image = { ...each, names: each.names.filter((name) => !shared.has(name)) };
        current = image.id;
        const bytes = image.layers.reduce((sum, layer) => sum + Math.max(layer.size, 0), 0);
        events.emit('pullStarted', { pullId, source, image: image.id, layers: image.layers.length, bytes });
        try {
          // With a signal of its own: its first failure aborts that.
          images.push(await this.#storeImage(image, source, options, { ...pull, ...pullSignal(signal) }, namesFor));
        } catch (error) {
          const isAlone = offer.images.length + (offer.failures ?? []).length === 1;
          if (failures === undefined || isAlone || signal?.aborted) throw error;
          failures.add(image.names[0] ?? image.id, error);
          events.emit('pullFailed', { pullId, source, error });
          // What goes on for others has places in staging that the next image would take.
          await Promise.allSettled(pull.atWork);
          continue;
        }
        const milliseconds = performance.now() - started;
        events.emit('pullFinished', { pullId, source, image: image.id, milliseconds });
      }
      for (const failure of offer.failures ?? []) failures?.add(String(failure.details['image']), failure);
      const [first] = images;
      const failed = failures?.all[0] && failureOf(failures.all[0]);
      if (failed !== undefined) ending = { result: { kind: 'failed', failure: failed } };
      else if (first !== undefined) ending = { result: { kind: 'stored', image: first.id, names: first.ofSource } };
      events.count(failed === undefined ? 'pullsFinished' : 'pullsFailed');
      return images;
    } catch (error) {
      const failure = signal?.aborted ? undefined : failureOf(error);
      if (failure !== undefined) ending = { result: { kind: 'failed', failure }, at: Date.now() };
      events.count('pullsFailed');
      events.emit('pullFailed', { pullId, source, error });
      throw error;
    } finally {
      const ended = this.#end(pull, offer, ending);
      if (pull.atWork.size === 0) await ended;
      else this.#goOn(ended);
    }
  }

  /** Resolves when no pull that has failed goes on for others. */
  async idle(): Promise<void> {
    while (this.#goingOn.size > 0) await Promise.all(this.#goingOn);
  }

  async #storeImage(
    image: OfferedImage,
    source: string,
    { platform, maxImageBytes }: RunOptions,
    pull: RunningPull,
    namesFor: RunContext['namesFor'],
  ): Promise<RunImage> {
    const { metadata, limits, paths, sweeper } = this.#needs;
    const layers = image.layers.map((layer) => layer.diffId);
    pull.tracker.begin(image.layers);
    // Before it is asked which of them are stored: those that are must stay until the image names them.
    await metadata.leaseLayers(pull.pullId, layers);
    const missing = await metadata.missingLayers(layers);
    const own = { ...limits, maxImageBytes: maxImageBytes ?? limits.maxImageBytes };
    const look = async () => {
      const { bavail, bsize } = await statfs(paths.staging);
      admit(image, { missing, free: bavail * bsize }, own);
    };
    try {
      await look();
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE')) throw error;
      // What dead pulls left may be what fills the disk, and is on its way out.
      await orAborted(sweeper.idle(), pull.signal);
      await look();
    }
    await this.#layers.ensure(image.layers, pull);
    const stack = await completeStack(layers, this.#layers, this.#needs, pull);
    crashPoint('pull.stackCompleted');
    const ofSource = this.#trueNames(image, pull.pullId);
    const names = namesFor(ofSource);
    const record = await metadata.putImage(
      {
        id: image.id,
        mediaType: image.mediaType,
        manifest: image.manifest,
        configDigest: image.configDigest,
        config: image.config,
        platform: formatPlatform(image.platform),
        layers: stack,
        source,
      },
      names,
      image.chosenFrom && { index: image.chosenFrom, platform: formatPlatform(platform) },
      namingOf({ platform: formatPlatform(image.platform) }),
    );
    crashPoint('pull.imageRecorded');
    return { ...record, namesGiven: names.filter((name) => record.names.includes(name)), ofSource };
  }

  /** Gives back what dead pulls have left. A pull does not fail for what it cannot. */
  async #takeAbandoned(pullId: string): Promise<void> {
    const told = (left: string, reason: string) =>
      this.#needs.events.emit('warning', {
        code: 'STAGING_LEFT',
        message: `${left} of a pull that died cannot be taken away: ${reason}`,
        details: { pull: pullId },
      });
    try {
      const { failed } = await retireAbandoned({ ...this.#needs, syscalls: loadSyscalls }, this.#staging);
      for (const { path, message } of failed) told(path, message);
    } catch (error) {
      told('what is left', firstLine(error));
    }
  }

  /** Without those that state another digest than the image or its index has, which anybody can write into a layout or an archive. */
  #trueNames({ id, chosenFrom, names }: OfferedImage, pullId: string): string[] {
    return names.filter((name) => {
      const { digest } = parseReference(name);
      if (digest === undefined || digest === id || digest === chosenFrom) return true;
      this.#needs.events.emit('warning', {
        code: 'NAME_NOT_GIVEN',
        message: `the image ${id} is not given the name ${name} that its source has for it: it has another digest`,
        details: { pull: pullId, image: id, name },
      });
      return false;
    });
  }

  /** Names that an archive has for several images: whoever got one by chance would be taken for the one that is meant. */
  #sharedNames(images: readonly OfferedImage[], pullId: string): ReadonlySet<string> {
    const holders = new Map<string, string[]>();
    for (const { id, names } of images) for (const name of names) holders.set(name, [...(holders.get(name) ?? []), id]);
    const shared = [...holders].filter(([, ids]) => ids.length > 1);
    for (const [name, ids] of shared) {
      this.#needs.events.emit('warning', {
        code: 'NAME_NOT_GIVEN',
        message: `the name ${name} is given to none of the images that the source has under it: ${ids.join(', ')}; \`provisioner tag DIGEST ${name}\` gives it to one`,
        details: { pull: pullId, name, images: ids.join(' ') },
      });
    }
    return new Set(shared.map(([name]) => name));
  }

  #goOn(ended: Promise<void>): void {
    this.#goingOn.add(ended);
    void ended.then(() => this.#goingOn.delete(ended));
  }

  /** Takes everything away. What goes wrong with that is told as a warning: it makes no failure of a success, and is not the reason of a failure. */
  async #end({ pullId, tracker, atWork, liveness }: RunningPull, offer: Offer | undefined, ending: Ending | undefined) {
    await this.#warning(pullId, () => tracker.close());
    await Promise.allSettled(atWork);
    await this.#warning(pullId, async () => offer?.close());
    await this.#warning(pullId, () => this.#unstage(pullId, ending));
    // What it could not give back counts for nothing from here on.
    liveness.close();
  }

  async #warning(pullId: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#needs.events.emit('warning', {
        code: 'PULL_NOT_CLEARED',
        message: `pull ${pullId} has ended and left something behind, which the next pull, prune or recovery takes away: ${firstLine(error)}`,
        details: { pull: pullId, ...(isProvisionerError(error) ? { reason: error.code } : {}) },
      });
    }
  }

  /** On a full disk the records can be written when what was staged is gone. */
  async #unstage(pullId: string, ending: Ending | undefined): Promise<void> {
    const { paths, sweeper, metadata } = this.#needs;
    sweeper.retire(paths.pullStaging(pullId), 'staging');
    this.#staging.delete(pullId);
    crashPoint('pull.unstaged');
    const finish = () =>
      ending === undefined ? metadata.closeLeases([pullId]) : metadata.finishPull(pullId, ending.result, ending.at);
    try {
      await finish();
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE')) throw error;
      await sweeper.idle();
      await finish();
    }
  }
}

/** What a pull came to; and when, if that was before its end. */
interface Ending {
  readonly result: PullResult;
  readonly at?: number;
}

/** A signal of the pull's own, which may have a listener for each layer; Node would warn the embedder about the eleventh. */
function pullSignal(caller: AbortSignal | undefined): Pick<PullContext, 'signal' | 'giveUp'> {
  const own = new AbortController();
  const signal = anySignal(caller === undefined ? [own.signal] : [caller, own.signal]);
  setMaxListeners(0, signal);
  return { signal, giveUp: (reason) => own.abort(reason) };
}
