import type { LaunchRecord } from '../../index.js';
import type { LaunchLimits, LaunchSpec } from '../launch-spec.js';
import type { LaunchRoot } from '../launches/kept/launch-root.js';
import type { JoinedNetwork } from '../networks/network.js';

/** What a launch is to be, as the isolators leave it. */
export interface IsolatedSpec {
  /** What was asked for, and what was added. */
  readonly spec: LaunchSpec;
  /** The root filesystem that it is started in. */
  readonly root: LaunchRoot;
  /** A network namespace that is there already. Default: as the spec says, with nothing made for it. */
  readonly network?: JoinedNetwork | undefined;
  /** What it has for itself, to be recorded with it. */
  readonly leased?: Leased | undefined;
  /** How its limit of disk space is kept, to be recorded with it; undefined where it has none. */
  readonly diskLimit?: DiskLimit | undefined;
}

export interface DiskLimit {
  /** By the file system of the store, or by one in memory, which refuse what is more; or by the processes that watch the launch, which count, and end what has written more. */
  readonly by: 'quota' | 'memory' | 'counting';
  /** Why no file system does, as a clause. */
  readonly reason?: string | undefined;
}

/** What somebody has for himself. */
export interface Leased {
  /** Such as `0-2,7`; undefined for none. */
  readonly cpus: string | undefined;
  /** By path, or CDI name. */
  readonly devices: readonly string[];
}

/** A launch that an isolator works for. */
export type IsolatedLaunch = Pick<LaunchRecord, 'id' | 'containerId'>;

/** What runs, for whoever attends to it. */
export interface AttendedContainer {
  /** As this machine sees them; none when it has ended. */
  processes(): readonly number[];
  /** Kills all of it; may be repeated. */
  end(): void;
}

/**
 * Gives a launch one kind of things that are not in its root filesystem, and that have to be given back: a network, devices, volumes, …
 *
 *     record `starting` ─► prepare … ─► bundle ─► runs ─► ends, recorded ─► cleanUp … ─► its record goes
 *                                                   ▲                          ▲
 *                                            a crash anywhere: `cleanUp` by whoever undoes it or sees its end, `recover` by the next recovery
 *
 * What it makes it records first, with the id of the launch, so that `cleanUp` finds it in whatever process. @see Mesos, `Isolator`
 */
export interface Isolator {
  /**
   * Before the bundle is made. What it made when it fails, or when anything after it does, `cleanUp` takes back.
   * @throws ProvisionerError what cannot be had, and why
   */
  prepare(launch: IsolatedLaunch, isolated: IsolatedSpec, signal: AbortSignal | undefined): Promise<IsolatedSpec>;
  /** When its bundle has been made, in the directory of the launch, and nothing runs yet. What it does when it fails, or when anything after it does, `cleanUp` takes back. */
  bundled?(launch: IsolatedLaunch, isolated: IsolatedSpec): Promise<void>;
  /** Around a change of limits of what runs. @param change makes it, or throws @throws ProvisionerError why it may not be, and what `change` throws */
  update?(launch: IsolatedLaunch, limits: LaunchLimits, change: () => Promise<void>): Promise<void>;
  /**
   * While a process of ours watches what runs; others may do so too, and nobody where nobody does. Resolves when there is nothing more to attend to, and soon after `over` has aborted.
   */
  attend?(launch: IsolatedLaunch, over: AbortSignal, container: AttendedContainer): Promise<void>;
  /** When nothing of a launch lives any more. Safe to repeat, by several processes at a time too. */
  cleanUp(launch: IsolatedLaunch): Promise<void>;
  /**
   * Takes back what is still with launches that are over, of all owners: what crashes and reboots left.
   * @param unended the ids of launches that have not ended. To be asked when it has been looked up what is held: a launch is recorded before it is given anything
   * @returns what was taken back, a word and a name each
   */
  recover(unended: () => Promise<ReadonlySet<string>>): Promise<string[]>;
  /** When nobody launches any more: lets go of what was kept ready. */
  close(): Promise<void>;
}
