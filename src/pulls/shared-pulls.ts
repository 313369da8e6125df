import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfAborted } from '../base/errors.js';
import type { ProvisionerEmitter } from '../events.js';
import type { ImageId } from '../image/digest.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import type { PullAnnouncement, PullKey, PullOutcome, PullRecord } from '../metadata/pulls/pull-records.js';
import type { Liveness } from '../system/locks/liveness.js';
import { pidOf } from '../system/locks/process-identity.js';
import { SingleFlight } from '../system/locks/single-flight.js';
import { StoppedWait, type StoppedWaitRoom } from '../system/locks/stopped-wait.js';
import { failedPull, isSharedFailure, repeatedFailure, retryAt } from './cool-down.js';
import { PullTracker } from './pull-tracker.js';
import { GET_ATTEMPTS, type PulledImage, type StoredImages, takenByPrune } from './stored-images.js';

export interface SharedPullsNeeds {
  readonly metadata: MetadataManager;
  readonly events: ProvisionerEmitter;
  readonly liveness: Liveness;
  /** Milliseconds for which a failure holds back those who do not insist. */
  readonly coolDown: number;
  readonly stored: Pick<StoredImages, 'name'>;
  readonly stoppedWaits: StoppedWaitRoom;
}

/** One caller. */
export interface PullCaller {
  /** Names to give the image. Default: those that the source itself gives it. */
  readonly names: readonly string[] | undefined;
  /** Pull even when that has just failed. */
  readonly force: boolean;
  readonly signal: AbortSignal | undefined;
}

/** A pull that came to its end. */
export interface LandedPull {
  readonly image: ImageId;
  /** As the source calls it. */
  readonly names: readonly string[];
}

/** Runs a pull that has been announced, and leaves its outcome in the records. `namesFor` says which names its callers want by now; `liveness` is its life, which ends with it. */
export type RunPull = (
  pullId: string,
  signal: AbortSignal,
  namesFor: (ofSource: readonly string[]) => readonly string[],
  liveness: Liveness,
) => Promise<LandedPull>;

/** Between two looks at what another process pulls, in milliseconds. */
const POLL = [10, 20, 50, 100] as const;

/**
 * One pull for all who ask for the same: in this process they share a flight, across processes they find each other's pulls in the records. It is
 * cancelled when its last caller has given up; a caller that gives up is free at once.
 *
 * Whoever waited for another process's pull uses what that stored. When it died or was given up, one of those who wait takes its place; when it
 * failed, they fail with it: that is as fresh as a failure of their own would be. One that has been stopped is waited for as long as `lockTimeout` allows.
 */
export class SharedPulls {
  readonly #needs: SharedPullsNeeds;
  readonly #flights = new SingleFlight<LandedPull>();
  /** Who waits for each flight. */
  readonly #callers = new Map<string, Set<PullCaller>>();

  constructor(needs: SharedPullsNeeds) {
    this.#needs = needs;
  }

  /** @throws what `run` throws, or what it threw in another process; a failure that was not long ago unless the caller insists */
  async get(key: PullKey, caller: PullCaller, run: RunPull): Promise<PulledImage> {
    throwIfAborted(caller.signal);
    if (!caller.force) await this.#requireCooledDown(key);
    const flight = JSON.stringify([key.source, key.platform, key.terms]);
    for (let attempt = 1; ; attempt++) {
      const landed = await this.#fly(flight, key, caller, run);
      const pulled = await this.#named(landed.image, caller.names ?? landed.names);
      if (pulled !== undefined) return pulled;
      if (attempt === GET_ATTEMPTS) throw takenByPrune(landed.image, 'its pull', key.source);
    }
  }

  async #fly(flight: string, key: PullKey, caller: PullCaller, run: RunPull): Promise<LandedPull> {
    const callers = this.#callers.get(flight) ?? new Set();
    this.#callers.set(flight, callers.add(caller));
    const namesFor = (ofSource: readonly string[]) => [
      ...new Set([...callers].flatMap((one) => one.names ?? ofSource)),
    ];
    const work = (signal: AbortSignal) => this.#land(key, (pullId, own) => run(pullId, signal, namesFor, own), signal);
    try {
      return await this.#flights.run(flight, work, caller.signal);
    } finally {
      callers.delete(caller);
      if (callers.size === 0 && this.#callers.get(flight) === callers) this.#callers.delete(flight);
    }
  }

  async #land(
    key: PullKey,
    run: (pullId: string, liveness: Liveness) => Promise<LandedPull>,
    signal: AbortSignal,
  ): Promise<LandedPull> {
    const { metadata, liveness } = this.#needs;
    const asked = Date.now();
    for (;;) {
      throwIfAborted(signal);
      const pull = randomUUID();
      const own = liveness.another();
      const announced = await announcing(own, () =>
        metadata.announcePull({ ...key, pull, process: own.identity }, liveness.isAlive),
      );
      if (announced.state === 'announced') {
        return run(pull, own);
      }
      const outcome = await this.#outcomeOf(announced.pull, asked, signal);
      if (outcome?.result.kind === 'stored') return outcome.result;
      const failed = outcome && failedPull(outcome);
      if (failed !== undefined && isSharedFailure(failed.failure)) throw repeatedFailure(failed);
    }
  }

  /**
   * Waits as long as it takes, but for a process that has been stopped.
   * @returns undefined for a pull that was given up, or whose process has died @throws ProvisionerError `ERR_LOCK_TIMEOUT`
   */
  async #outcomeOf(other: PullRecord, asked: number, signal: AbortSignal): Promise<PullOutcome | undefined> {
    const { metadata, events, liveness, stoppedWaits } = this.#needs;
    const { pull: pullId, source, since } = other;
    events.emit('pullWaiting', { pullId, source, pid: pidOf(other.process), since });
    const tracker = new PullTracker({ pullId, emit: (progress) => events.emit('layerProgress', progress) });
    const wait = new StoppedWait(stoppedWaits, { deed: `pulls ${source}`, details: { source } });
    let image: ImageId | undefined;
    try {
      for (let attempt = 0; ; attempt++) {
        await sleep(POLL[Math.min(attempt, POLL.length - 1)], undefined, { signal }).catch(() =>
          throwIfAborted(signal),
        );
        const { running, outcomes } = await metadata.findPulls(other);
        const now = running.find((pull) => pull.pull === pullId);
        if (now === undefined || !liveness.isAlive(now.process)) {
          const isOurs = (one: PullOutcome) => one.terms === other.terms && isAnswer(one, pullId, asked, Date.now());
          return outcomes.find(isOurs);
        }
        if (now.image !== image) {
          image = now.image;
          tracker.begin(now.layers.map(({ layer, total }) => ({ diffId: layer, size: total })));
        }
        follow(tracker, now);
        wait.goOn(now.process);
      }
    } finally {
      wait.end();
      await tracker.close();
    }
  }

  /** @returns undefined when the image is gone again */
  async #named(id: ImageId, names: readonly string[]): Promise<PulledImage | undefined> {
    const { metadata, stored } = this.#needs;
    const record = await metadata.getImage(id);
    return record && stored.name(record, names);
  }

  async #requireCooledDown(key: PullKey): Promise<void> {
    const { metadata, coolDown, liveness } = this.#needs;
    const { running, outcomes } = await metadata.findPulls(key);
    const same = (one: PullKey) => one.terms === key.terms;
    if (running.some((pull) => same(pull) && liveness.isAlive(pull.process))) return;
    const outcome = outcomes.find(same);
    const failed = outcome && failedPull(outcome);
    if (failed === undefined) return;
    const now = Date.now();
    const again = retryAt(failed, now, coolDown);
    if (now < again) throw repeatedFailure(failed, again);
  }
}

/**
 * A failure that was known before this caller asked is none of its own, though the pull may have gone on for others since. One that is still to come was
 * stamped before the clock was set back, and is none of its own either.
 */
function isAnswer({ pull, result, finishedAt }: PullOutcome, awaited: string, asked: number, now: number): boolean {
  return (finishedAt > asked && finishedAt <= now) || (pull === awaited && result.kind === 'stored');
}

/** Another process's progress, as this one sees it. What has not changed is left to the tracker's own clock. */
function follow(tracker: PullTracker, { layers }: PullRecord): void {
  for (const { layer, phase, bytes } of layers) {
    const over = phase === 'done' || phase === 'stored';
    tracker.updateIfChanged(layer, over || phase === 'waiting' ? phase : 'shared', bytes);
  }
}

/** A life for a pull, which goes on when that is announced; whoever runs the pull ends it. */
export async function announcing(own: Liveness, announce: () => Promise<PullAnnouncement>): Promise<PullAnnouncement> {
  try {
    const announced = await announce();
    if (announced.state !== 'announced') own.close();
    return announced;
  } catch (error) {
    own.close();
    throw error;
  }
}
