import type { Get } from '../../base/assembly.js';
import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { checkArgument, flag, oneOf, optionsOf, type Rule, text, textOf } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import { checkContainerId } from '../../containers/container-id.js';
import {
  LAUNCH_REMOVALS,
  LAUNCH_STATES,
  type LaunchChange,
  type LaunchEvent,
  type LaunchNote,
  type LaunchRecord,
  type LaunchState,
  type NewLaunch,
  type NewLaunchEvent,
  type PutLaunch,
} from '../../metadata/launches/launch-records.js';
import { isLaunchId } from '../../paths.js';
import type { OpenStore } from '../open-store.js';
import type { FollowLaunchEventsOptions, LaunchEventsOptions, LaunchesOptions, PutLaunchOptions } from '../options.js';
import * as o from '../options.js';
import { RecordsWatch } from '../records-watch.js';
import { STORE_LOCK } from '../services.js';
import type { Calls } from './calls.js';
import { json, KIND, nullOr } from './record-rules.js';

/** A launch to be recorded. */
export type NewOwnLaunch = Omit<NewLaunch, 'owner'>;

export type RecordedLaunch = Omit<PutLaunch, 'hadRootfs'>;

/** Texts in characters, so that no record makes the others slow. */
const SPEC_MAX = 2 ** 20;
const PLACE_MAX = 2 ** 16;
const DETAILS_MAX = 2 ** 12;
const EVENTS_AT_ONCE = 1000;

const LAUNCH_ID: Rule = {
  meant: 'the id of a launch: 32 hex digits in small letters',
  holds: (value) => typeof value === 'string' && isLaunchId(value),
};
const STATES: Rule = {
  meant: `a list of at least one of ${LAUNCH_STATES.join(', ')}`,
  holds: (value) =>
    Array.isArray(value) && value.length > 0 && value.every((state) => LAUNCH_STATES.includes(state as LaunchState)),
};
const TIME: Rule = {
  meant: 'a time in whole milliseconds since the epoch',
  holds: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
};
const OWNER = textOf(1, 255);
const NOTE = { kind: KIND, details: json(DETAILS_MAX) };
const EVENT = optionsOf<LaunchNote>(NOTE, 'kind');
const EXIT = json(PLACE_MAX);

const NEW_LAUNCH = optionsOf<NewOwnLaunch>(
  {
    id: LAUNCH_ID,
    containerId: text,
    anyOwner: flag,
    bootId: textOf(1, 255),
    spec: json(SPEC_MAX),
    place: json(PLACE_MAX),
    removal: oneOf(...LAUNCH_REMOVALS),
    event: EVENT,
  },
  'id',
  'containerId',
  'bootId',
  'spec',
  'removal',
);
const CHANGE = optionsOf<LaunchChange>(
  {
    from: STATES,
    to: oneOf(...LAUNCH_STATES),
    startedAt: TIME,
    finishedAt: TIME,
    place: nullOr(json(PLACE_MAX)),
    exit: EXIT,
    cause: EVENT,
    event: EVENT,
  },
  'from',
);
const NEW_EVENT = optionsOf<NewLaunchEvent>(
  { ...NOTE, containerId: text, launchId: LAUNCH_ID, owner: OWNER },
  'kind',
  'containerId',
  'owner',
);

/**
 * What runs in containers, as it is recorded: for what stands on a provisioner and runs them. The store runs nothing; it keeps each launch from before its
 * program begins until it has ended, for all processes, and lets nobody destroy the container meanwhile.
 *
 *   put ──► provision, or look whether the rootfs is there ──► change … ──► change to `exited` ──► forget, or the next put, or the container's destroy
 *
 * `spec`, `place`, `exit` and `details` are JSON that only who runs containers reads. They are kept on the disk as they are: no secrets in them.
 */
export class LaunchCalls {
  readonly #store: OpenStore;
  readonly #get: Get<OpenStore>;
  readonly #calls: Calls;

  constructor(store: OpenStore, get: Get<OpenStore>, calls: Calls) {
    this.#store = store;
    this.#get = get;
    this.#calls = calls;
  }

  /**
   * Records a launch as `starting`, in place of the container's last one, whose directory is then the caller's to remove. Call it before anything of the launch
   * is there, in the container's turn, and look only then for a rootfs to run it in: one that is found is not destroyed before the launch has ended. Where the
   * container has a rootfs already, this waits until every destroy that is under way on the store has ended.
   * @throws `ERR_CONTAINER_FOREIGN`, `ERR_CONTAINER_RUNNING` when the last one has not ended, `ERR_BAD_CONTAINER_ID`, `ERR_ABORTED`, `ERR_LOCK_TIMEOUT`; then there is no
   *   record of it
   */
  async put(launch: NewOwnLaunch, options: PutLaunchOptions = {}): Promise<RecordedLaunch> {
    return this.#calls.writing('launch', async () => {
      checkArgument('launches.put', 'launch', NEW_LAUNCH, launch);
      const own = takeOptions('launches.put', o.PUT_LAUNCH_OPTIONS, options);
      checkContainerId(launch.containerId);
      throwIfAborted(own.signal);
      const { owner, metadata } = this.#store;
      const { hadRootfs, ...recorded } = await metadata.putLaunch({ ...launch, owner });
      if (hadRootfs) await this.#outlastDestroys(launch, own.signal);
      return recorded;
    });
  }

  /**
   * Changes a launch if it is in one of the states that are named.
   * @returns false when it is in none of them, or forgotten: somebody else was first @throws `ERR_BAD_OPTION` also for a change out of `exited`, or to it without an exit
   */
  async change(id: string, change: LaunchChange): Promise<boolean> {
    return this.#calls.freeing('record what runs', async () => {
      checkArgument('launches.change', 'id', LAUNCH_ID, id);
      checkArgument('launches.change', 'change', CHANGE, change);
      return this.#store.metadata.changeLaunch(id, change);
    });
  }

  /** The newest launch of a container; undefined when there is none. */
  async get(containerId: string): Promise<LaunchRecord | undefined> {
    return this.#calls.looking(async () => {
      checkArgument('launches.get', 'containerId', text, containerId);
      checkContainerId(containerId);
      return this.#store.metadata.getLaunch(containerId);
    });
  }

  /** The newest launch of each container, sorted by the container's id. */
  async list(options: LaunchesOptions = {}): Promise<LaunchRecord[]> {
    return this.#calls.looking(async () => {
      const own = takeOptions('launches.list', o.LAUNCHES_OPTIONS, options);
      return this.#store.metadata.listLaunches(own);
    });
  }

  /**
   * Forgets the launch of a container, whatever its state: nothing of it is there any more but its directory.
   * @param id only if it is this one still. Default: whichever it is @returns false when there was none
   */
  async forget(containerId: string, id?: string): Promise<boolean> {
    return this.#calls.freeing('forget a launch', async () => {
      checkArgument('launches.forget', 'containerId', text, containerId);
      if (id !== undefined) checkArgument('launches.forget', 'id', LAUNCH_ID, id);
      checkContainerId(containerId);
      return this.#store.metadata.forgetLaunches(containerId, id);
    });
  }

  /** Records an event that comes with no change of a launch. */
  async note(event: NewLaunchEvent): Promise<void> {
    return this.#calls.writing('record what has happened', async () => {
      checkArgument('launches.note', 'event', NEW_EVENT, event);
      checkContainerId(event.containerId);
      return this.#store.metadata.noteLaunchEvent(event);
    });
  }

  /** What has happened, of all processes, in the order in which it was recorded. The ten thousand newest events are kept. */
  async events(options: LaunchEventsOptions = {}): Promise<LaunchEvent[]> {
    return this.#calls.looking(async () => {
      const own = takeOptions('launches.events', o.LAUNCH_EVENTS_OPTIONS, options);
      return this.#store.metadata.launchEvents({ ...own, limit: own.limit ?? EVENTS_AT_ONCE });
    });
  }

  /**
   * What happens from this call on, or what has happened since an event and then what happens: of all processes, each event once, in the order in which they were recorded, mostly within
   * some hundredths of a second. It does not end by itself; while nothing happens it costs next to nothing.
   * @throws `ERR_ABORTED` when the signal says so, `ERR_CLOSED`, `ERR_EVENTS_LOST` when so much has happened since the last event that was taken that the next ones are kept no more
   */
  follow(options: FollowLaunchEventsOptions = {}): AsyncGenerator<LaunchEvent, void, undefined> {
    const { after, until, signal } = takeOptions('launches.follow', o.FOLLOW_LAUNCH_EVENTS_OPTIONS, options);
    const begin = after ?? this.#calls.looking(() => this.#store.metadata.newestLaunchEvent());
    // Whoever takes the first event is told.
    if (typeof begin !== 'number') begin.catch(() => undefined);
    return this.#follow(begin, until ?? Infinity, signal);
  }

  async *#follow(
    begin: number | Promise<number>,
    until: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<LaunchEvent, void, undefined> {
    let last = await begin;
    const watch = new RecordsWatch(this.#store.paths);
    try {
      while (true) {
        throwIfAborted(signal);
        const isOver = Date.now() >= until;
        const events = await this.events({ after: last });
        const [first] = events;
        if (first === undefined) {
          if (isOver) return;
          await watch.changed(until - Date.now(), signal);
          continue;
        }
        if (last > 0 && first.sequence > last + 1) throw eventsLost(first.sequence - last - 1);
        for (const event of events) {
          throwIfAborted(signal);
          last = event.sequence;
          if (event.at <= until) yield event;
        }
      }
    } finally {
      watch.close();
    }
  }

  /** Where a launch has its files, absolute; nobody but the caller makes or removes it. `df` accounts for it, and `check` tells of one without a record. */
  directory(id: string): string {
    checkArgument('launches.directory', 'id', LAUNCH_ID, id);
    return this.#store.paths.launch(id);
  }

  /** A destroy that had looked for launches before this one was recorded has the lock, shared, until it has ended. */
  async #outlastDestroys({ containerId, id }: NewOwnLaunch, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#get(STORE_LOCK).withExclusive('launch', async () => {}, signal);
    } catch (error) {
      // Nobody has begun anything for it.
      await this.#store.metadata.forgetLaunches(containerId, id);
      throw error;
    }
  }
}

function eventsLost(count: number): ProvisionerError {
  return new ProvisionerError('ERR_EVENTS_LOST', `${count} events were dropped before they were taken`, {
    hint: 'take them sooner: the newest ten thousand are kept',
    details: { count },
  });
}
