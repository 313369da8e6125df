import type { Readable, Writable } from 'node:stream';
import type { ForkedRootfs, ImageId, ProvisionOptions, PruneOptions, PruneReport, RecoveryReport } from '../index.js';
import type { ContainerEvent, EventSelection } from './events/container-event.js';
import type { ContainerFiles } from './files/container-files.js';
import type { HealthSpec } from './health/health-settings.js';
import type { Health } from './health/health-state.js';
import type { DiskLimit, Leased } from './isolators/isolator.js';
import type { LaunchLimits, LaunchSpec, TerminalSize } from './launch-spec.js';
import type { Exit } from './launches/kept/exit.js';
import type { LaunchNetwork } from './launches/kept/launch-notes.js';
import type { LogEntry } from './logs/log-entry.js';
import type { LogSelection } from './logs/read-log.js';
import type { ContainerNetworks } from './networks/container-networks.js';
import type { ContainerProcess } from './processes/container-processes.js';
import type { OpenTerminal } from './terminals/terminal.js';

/**
 * Runs containers: each an id, a root filesystem of the store, and one program at a time.
 *
 *     launch ─► starting ─► running ⇄ paused ─► exited ─► destroy
 *     create ─► starting ─► created ─► start ─► running        exited ─► start ─► starting
 *
 * What runs outlives this process; another one that opens the store sees it, and may wait for it, stop it and destroy it. `recover` puts right what a crash or a
 * reboot left. Changing what another owner has launched takes `anyOwner`, else it is `ERR_CONTAINER_FOREIGN`.
 */
export interface Containerizer {
  readonly networks: ContainerNetworks;
  /** For those who keep containers ready to be handed out. */
  readonly ready: ReadyContainers;
  /**
   * Makes a container and starts its program. Resolves when the program has been started; a launch that fails leaves nothing.
   * @throws ProvisionerError `ERR_CONTAINER_EXISTS`, `ERR_NO_COMMAND`, `ERR_WORKING_DIR`, `ERR_LIMIT_INVALID`, `ERR_LIMIT_UNSUPPORTED`, `ERR_SIGNAL_UNKNOWN`, `ERR_USER_UNKNOWN`, `ERR_MOUNT_SOURCE`, `ERR_MOUNT_TARGET`, `ERR_LEASED`,
   *   `ERR_COMMAND_NOT_FOUND`, `ERR_COMMAND_NOT_EXECUTABLE`, `ERR_START_FAILED`, `ERR_START_TIMEOUT`, and what `provision` throws
   */
  launch(containerId: string, image: string, options?: LaunchOptions): Promise<Launched>;
  /** The same up to the moment before its program is executed: all is there, and it waits for `start`. Its time limit does not pass meanwhile. @throws as `launch` */
  create(containerId: string, image: string, options?: CreateOptions): Promise<Launch>;
  /**
   * Lets go what was created, or runs what has ended once more: the same program in the root filesystem as it was left, as a launch of its own, whose output is added to what is kept. One that
   * runs already is left alone. A start that fails leaves the container, exited.
   * @throws ProvisionerError `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_FOREIGN`, `ERR_CONTAINER_NOT_RUNNING` when it is paused, `ERR_ROOTFS_UNAVAILABLE`, `ERR_CONTAINER_ELSEWHERE`, `ERR_CONTAINER_RUNNING` when somebody
   *   else was at it, and as `launch`
   */
  start(containerId: string, options?: StartOptions): Promise<Launched>;
  /** Stops it, when it runs, and starts it again. @throws ProvisionerError `ERR_BAD_OPTION` when it is to be removed at its end, and as `stop` and `start` */
  restart(containerId: string, options?: StopOptions): Promise<Launched>;
  /**
   * Makes a container of this owner that begins as what another one is now, of whatever owner and in whatever state: its root filesystem, and what is in volumes without a name, are copied, and `start` launches it with what
   * the other one was launched with. What runs stands still meanwhile. A failed call leaves nothing.
   * @param newId of a container that is not there
   * @throws ProvisionerError `ERR_CONTAINER_NOT_FOUND` also when the other one is destroyed meanwhile, `ERR_CONTAINER_EXISTS`, `ERR_CONTAINER_FOREIGN` where another owner's would have to stand still, `ERR_CONTAINER_RUNNING` when somebody
   *   starts it, or has it go on or end, before it is copied, `ERR_FREEZE_TIMEOUT`, and as `fork` of the provisioner
   */
  fork(containerId: string, newId: string, options?: ForkContainerOptions): Promise<Forked>;
  /**
   * What whoever runs a container with another tool needs beside its root filesystem, which is provisioned where there is none: the text of a `config.json`, as secure as what is launched
   * here. Its cgroup, and the container's own `/etc/hosts`, are the other tool's to see to. Nothing that it runs is known here: destroy the container when it has ended.
   * @throws ProvisionerError `ERR_CONTAINER_EXISTS` when the container is of another image, and as `launch`
   * @see OCI runtime-spec, config.md
   */
  spec(containerId: string, image: string, options?: SpecOptions): Promise<string>;
  /** How its program ended, once it has: any number of callers, in any process, also long after. @throws `ERR_CONTAINER_NOT_FOUND` */
  wait(containerId: string, options?: WaitOptions): Promise<Exit>;
  /**
   * Resolves when one of these is so of a container; any number of callers, in any process.
   * @returns the launch as it was then, and which of them that was
   * @throws ProvisionerError `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_NOT_RUNNING` when it has ended before, or has been destroyed, `ERR_NO_HEALTH_CHECK` for what nobody finds out, `ERR_ABORTED`
   */
  waitUntil(
    containerId: string,
    conditions: LaunchCondition | readonly LaunchCondition[],
    options?: WaitOptions,
  ): Promise<Reached>;
  /** Runs a program more in a container that runs. */
  exec(containerId: string, command: readonly string[], options?: ExecOptions): Promise<Execution>;
  /**
   * Sits down at the terminal of a program that was launched with one: any number at a time, whoever launched it. What it prints from now on is the output; a program that draws the whole screen is made to
   * draw it again, where a size is given. Whoever gives up the output closes the terminal too, and whoever closes the terminal gives up the output, which ends.
   * @throws ProvisionerError `ERR_NO_TERMINAL`, `ERR_CONTAINER_NOT_RUNNING`, `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_FOREIGN`, `ERR_ABORTED`
   */
  attach(containerId: string, options?: AttachOptions): Promise<Attachment>;
  /** What the program printed, as far as it was kept. */
  logs(containerId: string, selection?: LogSelection): AsyncIterable<LogEntry>;
  stats(containerId: string): Promise<ContainerStats>;
  /** What runs in it just now, `exec`s too; the program first. @throws `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_NOT_RUNNING` */
  processes(containerId: string): Promise<ContainerProcess[]>;
  /** Sends a signal to the program. @param signal a number, or a name such as `SIGTERM` or `term` */
  kill(containerId: string, signal?: string | number, options?: ControlOptions): Promise<void>;
  /** Asks the program to end, and ends all of the container when it has not after a while. Resolves when it has ended. */
  stop(containerId: string, options?: StopOptions): Promise<Exit>;
  /** Halts all processes. Its time limit does not pass meanwhile. */
  pause(containerId: string, options?: ControlOptions): Promise<void>;
  resume(containerId: string, options?: ControlOptions): Promise<void>;
  /** Changes limits of what runs; what is left out stays. `diskBytes` alone also of what has ended, for its next start. @throws ProvisionerError `ERR_LEASED`, `ERR_LIMIT_INVALID`, `ERR_LIMIT_UNSUPPORTED`, `ERR_LIMIT_UPDATE`, `ERR_CONTAINER_NOT_RUNNING` */
  update(containerId: string, limits: LaunchLimits, options?: ControlOptions): Promise<void>;
  /** Removes a container, with what it has written and printed. @returns false when there is none */
  destroy(containerId: string, options?: DestroyContainerOptions): Promise<boolean>;
  /**
   * What happens to containers of all owners, whichever process does it, each event once and in its order: within some hundredths of a second. The ten thousand newest are kept. Ends that nobody
   * has seen are looked for, before, and while it follows.
   * @throws ProvisionerError `ERR_ABORTED`, `ERR_EVENTS_LOST` when whoever follows is so slow that what comes next is kept no more
   */
  events(selection?: EventSelection): AsyncIterable<ContainerEvent>;
  /**
   * Its files, to be looked at and changed from outside: whether it was provisioned only, runs, is paused or has ended. Nothing happens before a method of theirs is called.
   * @param options whether those that change something may, where the container is another owner's
   */
  files(containerId: string, options?: ControlOptions): ContainerFiles;
  /** Those of all owners, sorted by id. */
  list(): Promise<Launch[]>;
  get(containerId: string): Promise<Launch | undefined>;
  /** What somebody has for himself of this machine, by whoever it is, in their order. What belonged to launches that have ended is given back before. */
  leases(): Promise<Lease[]>;
  /**
   * Prunes the store, and keeps beside the excluded images those of all containers that were launched.
   * @throws ProvisionerError as `pruneImages` of the provisioner: `ERR_CONTAINER_UNTRUSTED`, with the container's id, when nobody can tell what one is made of
   */
  pruneImages(excludedImages?: readonly string[], options?: PruneOptions): Promise<PruneReport>;
  /** Puts right what a crash or a reboot left: see `ContainerRecovery`. */
  recover(options?: RecoverContainersOptions): Promise<ContainerRecovery>;
}

export interface LetGoOptions {
  /** As of a launch. */
  readonly attach?: boolean | undefined;
}

export type ReadyState = 'created' | 'running' | 'paused';

/** For those who keep containers ready to be handed out. */
export interface ReadyContainers {
  /**
   * Whether a container is as it was when it was made: its program waits at its gate, runs or stands still, in a root filesystem that can be used, connected to its network.
   * @param state in which it was left
   * @returns what is wrong with it, as a clause; undefined for one that can be handed out
   */
  fault(containerId: string, state: ReadyState): Promise<string | undefined>;
  /**
   * As `start` of what was created by this owner, and sooner: resolves when its program is on its way. That this is so is recorded at once, and told as an event right after; one that the runtime has given no filter of system calls
   * is ended then.
   * @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING` where nothing waits any more, `ERR_CONTAINER_RUNNING` where somebody else was sooner by a moment, `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_FOREIGN`
   */
  letGo(containerId: string, options?: LetGoOptions): Promise<Launched>;
}

/** What of this machine somebody has for himself. */
export interface Lease extends Leased {
  /** The id of a launch; or the word of whoever has reserved it. */
  readonly holder: string;
  /** Undefined for what is reserved. */
  readonly containerId: string | undefined;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export interface LaunchOptions extends LaunchSpec {
  /** How the image is found and the root filesystem made. */
  readonly provision?: Omit<ProvisionOptions, 'signal'> | undefined;
  /** The container goes when its program has ended, whoever is there to see it. Default: false. */
  readonly remove?: boolean | undefined;
  /** The program is killed after so many milliseconds, the time that it is paused not counted. Default: never. */
  readonly timeout?: number | undefined;
  readonly log?: LogLimit | undefined;
  /** Whether the program does what it is there for; false for no check of it, whatever the image says. Default: as the image says. */
  readonly health?: HealthSpec | false | undefined;
  /** Where the program reads: nothing, or a pipe whose other end is the launch's `stdin`. Default: nothing. */
  readonly stdin?: 'none' | 'pipe' | undefined;
  /** What the program prints can be read of the launch's `output`, all of it: a container that is to be removed stays until it has been read. Default: false. */
  readonly attach?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Nobody can hold a pipe to what is started by somebody else. */
export type CreateOptions = Omit<LaunchOptions, 'stdin' | 'attach'>;

export type SpecOptions = LaunchSpec & Pick<LaunchOptions, 'provision' | 'signal'>;

export interface StartOptions extends ControlOptions {
  /** As of a launch, for what has ended; what was created reads nothing. */
  readonly stdin?: 'none' | 'pipe' | undefined;
  /** As of a launch: what it prints from now on. */
  readonly attach?: boolean | undefined;
  /** Of the terminal of a program that was launched with one. Default: as it was then. */
  readonly size?: TerminalSize | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ForkContainerOptions extends ControlOptions {
  /** What runs stands still while it is copied. Default: true; else files may be caught half written. */
  readonly pause?: boolean | undefined;
  /** Refused where nothing was launched in the other one (`ERR_CONTAINER_NOT_FOUND`), so that the new one could not be started. Default: it has a root filesystem alone. */
  readonly requireLaunch?: boolean | undefined;
  /** What the new one runs in place of the other one's command, as of a launch. */
  readonly command?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A container that began as what another one was. */
export interface Forked {
  readonly root: ForkedRootfs;
  /** `exited`, for the reason `forked`, until it is started. Undefined where nothing was launched in the other one. */
  readonly launch?: Launch | undefined;
}

export interface AttachOptions extends ControlOptions {
  /** That of whoever sits there. Default: as it is. */
  readonly size?: TerminalSize | undefined;
  /** Ends the output. */
  readonly signal?: AbortSignal | undefined;
}

export interface Attachment {
  readonly terminal: OpenTerminal;
  /** To be read until the program has ended, or given up. */
  readonly output: AsyncIterable<LogEntry>;
}

export interface LogLimit {
  /** Bytes on disk. Default: 64 MiB; no limit for a launch or start with `attach`, where it was not created before and `whenFull` is not `end`, of what has no terminal; 0 is no limit. */
  readonly maxBytes?: number | undefined;
  /** What happens when it is full: the older half goes, or the program is ended with `log-limit`. Default: `rotate`. */
  readonly whenFull?: 'rotate' | 'end' | undefined;
}

export interface Launched extends Launch {
  /** When `attach` is true: to be read to its end, or given up. */
  readonly output?: AsyncIterable<LogEntry> | undefined;
  /** When `stdin` is `pipe`, and there is no terminal. */
  readonly stdin?: Writable | undefined;
  /** When `attach` is true, and its program has one. */
  readonly terminal?: OpenTerminal | undefined;
}

export type LaunchState = 'starting' | 'created' | 'running' | 'paused' | 'exited' | 'undead';

/** One execution of a container's program. Times are milliseconds since the epoch. */
export interface Launch {
  readonly containerId: string;
  /** 32 hex digits. */
  readonly launchId: string;
  readonly owner: string;
  readonly state: LaunchState;
  /** Once it has been found. */
  readonly image: ImageId | undefined;
  /** As it was asked for. */
  readonly imageName: string;
  /** What was started, its arguments included; long ones are cut. */
  readonly command: readonly string[];
  /** Of the program, as this machine's processes see it; while it runs. */
  readonly pid?: number | undefined;
  readonly createdAt: number;
  readonly startedAt?: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** What is less than secure, in the words that asked for it; empty for most. */
  readonly relaxed: readonly string[];
  /** Its program has a terminal. */
  readonly hasTerminal: boolean;
  /** That it is connected to while it runs; undefined for `none` and `host`. */
  readonly network?: LaunchNetwork | undefined;
  /** What it has for itself, while it is up. */
  readonly leased?: Leased | undefined;
  /** How its limit of disk space is kept, where it has one. */
  readonly diskLimit?: DiskLimit | undefined;
  /** As it was found last; undefined where nothing is checked. */
  readonly health?: Health | undefined;
  readonly exit?: Exit | undefined;
}

/** What can be waited for: states of a launch, and of its health. */
export type LaunchCondition = 'running' | 'paused' | 'exited' | 'healthy' | 'unhealthy';

export interface Reached {
  readonly condition: LaunchCondition;
  readonly launch: Launch;
}

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ControlOptions {
  /** Of a container of whatever owner. Default: false. */
  readonly anyOwner?: boolean | undefined;
}

export interface StopOptions extends ControlOptions {
  /** Default: that of the launch. */
  readonly signal?: string | number | undefined;
  /** Milliseconds until all is killed. Default: 10 000. */
  readonly grace?: number | undefined;
}

export interface DestroyContainerOptions extends ControlOptions {
  /** What becomes of what runs. Default: `refuse`, with `ERR_CONTAINER_RUNNING`. */
  readonly running?: 'refuse' | 'kill' | undefined;
}

export interface RecoverContainersOptions {
  /** The containers that go on living, beside those whose programs run; the others of this owner are destroyed. Default: all that are recorded. */
  readonly knownContainerIds?: readonly string[] | undefined;
}

export interface ExecOptions extends ControlOptions {
  /** Beside those of the container. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Default: as the program's own. */
  readonly user?: string | undefined;
  readonly workingDir?: string | undefined;
  readonly stdin?: 'none' | 'pipe' | undefined;
  /** It has a terminal of this size as all its standard streams. Default: none. */
  readonly terminal?: TerminalSize | undefined;
  /** Milliseconds until it is killed. Default: never. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A program that was started by `exec`. */
export interface Execution {
  readonly stdin?: Writable | undefined;
  /** When it was asked for; there is no `stdin` then. Closed, it is one that is hung up. */
  readonly terminal?: OpenTerminal | undefined;
  /** What it prints; to be read, or it waits. */
  readonly stdout: Readable;
  /** Empty where it has a terminal. */
  readonly stderr: Readable;
  /** Resolves when its process has ended, whatever it has started itself. */
  readonly ended: Promise<ExecutionEnd>;
  /**
   * Sends a signal to it, and never to whoever has its number after it. One that is just being started gets it as soon as it is there.
   * @param signal as of `Containerizer.kill` @returns false when it has ended @throws ProvisionerError `ERR_SIGNAL_UNKNOWN`
   */
  kill(signal: string | number): Promise<boolean>;
}

export interface ExecutionEnd {
  readonly code?: number | undefined;
  readonly signal?: number | undefined;
  readonly reason: 'exited' | 'killed' | 'time-limit' | 'aborted';
}

/** What a container takes just now. What the kernel does not count is not there. */
export interface ContainerStats {
  /** Bytes. */
  readonly memory?: number | undefined;
  readonly peakMemory?: number | undefined;
  readonly memoryLimit?: number | undefined;
  /** Nanoseconds of all its processes so far. */
  readonly cpuTime?: number | undefined;
  /** Times that it was held back for its limit of processors. */
  readonly throttledPeriods?: number | undefined;
  readonly processes?: number | undefined;
  readonly processLimit?: number | undefined;
  readonly oomKills: number;
}

/** What a recovery found and did. */
export interface ContainerRecovery {
  /** Still running, or waiting to be started, and watched again. */
  readonly running: readonly string[];
  /** Ended while nobody looked: how is known. */
  readonly ended: readonly string[];
  /** Ended without anybody to say how, or by a reboot. */
  readonly lost: readonly string[];
  /** Half started, and undone. */
  readonly undone: readonly string[];
  /** Removed with their end, as their launches said. */
  readonly removed: readonly string[];
  /** Launches, cgroups and notes of a runtime that no record names, taken away. */
  readonly swept: readonly string[];
  /** What the store itself had to be put right in, after that. */
  readonly store: RecoveryReport;
  /** What could not be put right, and did not stop the rest: a later recovery tries again. */
  readonly failed: readonly { readonly containerId: string; readonly error: unknown }[];
}
