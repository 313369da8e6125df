/**
 * Launches: each one execution of a container's program, and what happened to them.
 *
 *   starting ──► created ──► running ◄──► paused        a launch that has not ended
 *       │           │           │            │
 *       └───────────┴───────────┴────────────┴──► undead      asked to die, and something of it lives on
 *       │           │           │            │       │
 *       └───────────┴───────────┴────────────┴───────┴──► exited      with its exit and the time of it: it has ended, and never runs again
 *
 * Who runs containers leads a launch from state to state, and decides what may follow what; here it is kept that each step is taken by one of several who would
 * (`from`), that nothing leads out of `exited`, and that an end has a time and an exit.
 *
 * A container has one launch, the newest: a new one is recorded only when the last has ended, and takes its place. While it has not ended, nobody destroys the
 * container: whoever would asks `unendedLaunches`, in whatever process. One that has ended goes with the last rootfs of its container.
 *
 * `spec`, `place`, `exit` and the `details` of events are JSON, which nobody here reads: no secrets belong in them.
 */
export interface LaunchRecords {
  /**
   * Records a launch, before anything of it runs, in place of the container's last one.
   * @throws ProvisionerError `ERR_CONTAINER_FOREIGN` when the container is another owner's, by its rootfses or else by its last launch,
   *   `ERR_CONTAINER_RUNNING` when its last launch has not ended, `ERR_BAD_OPTION` when there is one with this id already; then nothing has changed
   */
  putLaunch(launch: NewLaunch): Promise<PutLaunch>;
  /**
   * Changes a launch if it is in one of the states that are given, else nothing.
   * @returns whether it was: false when somebody else was first, or has forgotten it
   * @throws ProvisionerError `ERR_BAD_OPTION` for a change that leads out of `exited`, or to `exited` without an exit
   */
  changeLaunch(id: string, change: LaunchChange): Promise<boolean>;
  /** The newest launch of a container. */
  getLaunch(containerId: string): Promise<LaunchRecord | undefined>;
  /** Sorted by the container's id. */
  listLaunches(wanted?: LaunchesWanted): Promise<LaunchRecord[]>;
  /** What has not ended in a container and in all below it, children before parents. Cheap: every destroy asks. */
  unendedLaunches(containerId: string): Promise<UnendedLaunch[]>;
  /**
   * Forgets the launch of a container, whatever its state, which is an event too: `FORGOTTEN`. One that has ended and goes with the last rootfs of its container is told
   * likewise, and one whose place another takes is not.
   * @param id only if it is this one @returns false when there was none
   */
  forgetLaunches(containerId: string, id?: string): Promise<boolean>;
  noteLaunchEvent(event: NewLaunchEvent): Promise<void>;
  /** In the order in which they were recorded. The newest `EVENTS_KEPT` are there, and perhaps some more. */
  launchEvents(wanted: LaunchEventsWanted): Promise<LaunchEvent[]>;
  /** The sequence number of the newest event; 0 when there is none. */
  newestLaunchEvent(): Promise<number>;
}

export const UNENDED_STATES = ['starting', 'created', 'running', 'paused', 'undead'] as const;
export const LAUNCH_STATES = [...UNENDED_STATES, 'exited'] as const;
export type LaunchState = (typeof LAUNCH_STATES)[number];

/** What becomes of the container when its launch has ended. */
export const LAUNCH_REMOVALS = ['keep', 'remove'] as const;
export type LaunchRemoval = (typeof LAUNCH_REMOVALS)[number];

export interface NewLaunch {
  /** Of its own: 32 hex digits, random. */
  readonly id: string;
  readonly containerId: string;
  /** Who launches it. */
  readonly owner: string;
  /** Launch in a container of whatever owner, whose the launch is then. Default: false. */
  readonly anyOwner?: boolean | undefined;
  /** Of the machine, as the kernel names it: a launch of another boot runs no more. */
  readonly bootId: string;
  /** JSON: what is to run, and how. */
  readonly spec: string;
  /** JSON: what is known already of where it will run. */
  readonly place?: string | undefined;
  readonly removal: LaunchRemoval;
  /** Recorded with it. */
  readonly event?: LaunchNote | undefined;
}

export interface PutLaunch {
  readonly launch: LaunchRecord;
  /** The id of the one whose place it took. */
  readonly replaced: string | undefined;
  /** Whether the container had a rootfs by then: if so, a destroy of that may be under way that has not seen the launch. */
  readonly hadRootfs: boolean;
}

export interface LaunchRecord {
  readonly id: string;
  readonly containerId: string;
  /** That of the container, where it had one. */
  readonly owner: string;
  readonly state: LaunchState;
  readonly bootId: string;
  /** Milliseconds since the epoch, like the other times. */
  readonly createdAt: number;
  /** Undefined until its program runs. */
  readonly startedAt: number | undefined;
  /** Defined when it is `exited`, and only then. */
  readonly finishedAt: number | undefined;
  /** JSON. */
  readonly spec: string;
  /** JSON: process ids, cgroup, runtime, whatever finds it again. */
  readonly place: string | undefined;
  /** JSON: how it ended. Defined when it is `exited`; what is `undead` may have one. */
  readonly exit: string | undefined;
  readonly removal: LaunchRemoval;
}

export type UnendedLaunch = Pick<LaunchRecord, 'id' | 'containerId' | 'state'>;

/** What is left out stays as it is. */
export interface LaunchChange {
  /** The states in which it may be for this. */
  readonly from: readonly LaunchState[];
  readonly to?: LaunchState | undefined;
  readonly startedAt?: number | undefined;
  /** Of one that becomes `exited`. Default: now. */
  readonly finishedAt?: number | undefined;
  /** JSON; null for none any more. */
  readonly place?: string | null | undefined;
  /** JSON. */
  readonly exit?: string | undefined;
  /** What led to it, recorded before `event`. */
  readonly cause?: LaunchNote | undefined;
  /** Recorded with the change. */
  readonly event?: LaunchNote | undefined;
}

export interface LaunchesWanted {
  /** Default: of all. */
  readonly owner?: string | undefined;
  /** Default: all. */
  readonly states?: readonly LaunchState[] | undefined;
}

/** What is told of an event of one launch. */
export interface LaunchNote {
  /** A word: `start`, `oom`. */
  readonly kind: string;
  /** JSON. */
  readonly details?: string | undefined;
}

export interface NewLaunchEvent extends LaunchNote {
  readonly containerId: string;
  readonly launchId?: string | undefined;
  readonly owner: string;
}

export interface LaunchEvent {
  /** Grows from event to event, whatever the clock does, and is never given again. */
  readonly sequence: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly containerId: string;
  readonly launchId: string | undefined;
  readonly owner: string;
  readonly kind: string;
  readonly details: string | undefined;
}

export interface LaunchEventsWanted {
  /** Not before this time, in milliseconds since the epoch. Default: from the first on. */
  readonly since?: number | undefined;
  /** After the event with this sequence number. Default: from the first on. */
  readonly after?: number | undefined;
  /** So many at most. */
  readonly limit: number;
}

/** The kind of the event that a launch has been forgotten, and with it its container. */
export const FORGOTTEN = 'destroy';

/** So many of the newest events are kept. */
export const EVENTS_KEPT = 10_000;
/** Once in so many events the older ones go: each time takes a tenth of a millisecond. */
export const EVENTS_PRUNED_EVERY = 100;
