import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../base/crash-points.js';
import { isProvisionerError } from '../../base/errors.js';
import type { LaunchRecord } from '../../index.js';
import { orAborted } from '../../system/locks/or-aborted.js';
import type { ProcessHandle } from '../../system/processes/processes.js';
import type { LockFile } from '../../system/syscalls/lock-file.js';
import { ContainerCgroup } from '../cgroups/container-cgroup.js';
import { processStates } from '../cgroups/process-states.js';
import { eventNote } from '../events/container-event.js';
import type { Isolator } from '../isolators/isolator.js';
import type { Machine } from '../machine.js';
import { endMonitors } from '../processes/end-monitors.js';
import { readOrEmpty } from '../read-or-empty.js';
import { attend } from './ends/attend.js';
import { Cleanings } from './ends/cleanings.js';
import { endStarting, isAbandoned } from './ends/end-starting.js';
import { holdWatch, isAttended, isWatched, launchEnded } from './ends/launch-watch.js';
import { endAll, takeAway } from './ends/remains.js';
import { recordUndead } from './ends/undead.js';
import { type Exit, exitOf, parseExitFile } from './kept/exit.js';
import { LaunchDirectory } from './kept/launch-directory.js';
import { isHalfStarted, readExitNote, readPlaceNote } from './kept/launch-notes.js';

/** Milliseconds until what does not die is ended once more. */
const DIES_LATER = 500;
/** All that are kept, and more. */
const EVENTS_LOOKED_AT = 20_000;

/**
 * The ends of launches. Whoever sees one first records it, and does what is to be done then; the records tell the others that it has been done.
 */
export class Endings {
  readonly #machine: Machine;
  readonly #isolators: Isolator;
  readonly #watched = new Map<string, Promise<Exit>>();
  /** Removals that follow ends. Nobody's wait for an end waits for one: it may itself wait for the turn of the container. */
  readonly #removals = new Set<Promise<unknown>>();
  readonly #cleanings: Cleanings;
  /** By the id of a launch: those who read what it has printed. */
  readonly #held = new Map<string, Set<Promise<void>>>();

  constructor(machine: Machine, isolators: Isolator) {
    this.#machine = machine;
    this.#isolators = isolators;
    this.#cleanings = new Cleanings(isolators);
  }

  directory(launchId: string): LaunchDirectory {
    return new LaunchDirectory(this.#machine.provisioner.launches.directory(launchId));
  }

  /**
   * Watches a launch until it ends, and records that then. One watch for all who want to know.
   * @param told resolves when its monitor is seen to end @param held the lock of the watch, where whoever asks has it already
   */
  watch(launch: LaunchRecord, told?: Promise<unknown>, held?: LockFile): Promise<Exit> {
    const known = this.#watched.get(launch.id);
    if (known !== undefined) return known;
    const watch = this.#watch(launch, told, held).finally(() => this.#watched.delete(launch.id));
    // Nobody may be waiting for it; who does is told.
    watch.catch(() => undefined);
    this.#watched.set(launch.id, watch);
    return watch;
  }

  async #watch(launch: LaunchRecord, told: Promise<unknown> | undefined, held: LockFile | undefined): Promise<Exit> {
    const directory = this.directory(launch.id);
    // While this is held, the monitor leaves it to us to remove a container that is to be removed.
    const lock = held ?? this.holdWatch(directory);
    const leave = attend(this.#machine, this.#isolators, launch);
    try {
      const { syscalls, closing } = this.#machine;
      await launchEnded(directory, syscalls, { told, signal: closing });
      const exit = await this.#recordWhenDead(launch, closing);
      // Where another process watches, it is that one who does what is to be done, when all that it reads has been read.
      if (lock !== undefined) this.#removeLater(launch, lock);
      return exit;
    } catch (error) {
      lock?.close();
      throw error;
    } finally {
      const leaving = leave().finally(() => this.#removals.delete(leaving));
      this.#removals.add(leaving);
    }
  }

  /**
   * Keeps what a launch has printed until it has been read, although its container is to be removed with its end.
   * @returns lets go of it
   */
  holdOutput(launchId: string): () => void {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const others = this.#held.get(launchId) ?? new Set();
    this.#held.set(launchId, others.add(held));
    void held.then(() => others.delete(held));
    return release;
  }

  /** As `holdWatch` of its files. */
  holdWatch(directory: LaunchDirectory): LockFile | undefined {
    return holdWatch(directory, this.#machine.syscalls);
  }

  /**
   * Records an end that has come, and sees to it that the container goes when that is to be and nobody else does: see `settled`.
   * @returns how it ended, as whoever was first recorded it @throws ProvisionerError `ERR_CONTAINER_UNDEAD`
   */
  async finish(launch: LaunchRecord): Promise<Exit> {
    const lock = this.holdWatch(this.directory(launch.id));
    try {
      const exit = await this.#record(launch);
      if (lock !== undefined) this.#removeLater(launch, lock);
      return exit;
    } catch (error) {
      lock?.close();
      throw error;
    }
  }

  /** As `finish`. @returns the launch as it is then: what does not die is undead */
  async finished(launch: LaunchRecord): Promise<LaunchRecord> {
    try {
      const exit = await this.finish(launch);
      return { ...launch, state: 'exited', exit: JSON.stringify(exit), finishedAt: exit.finishedAt };
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_CONTAINER_UNDEAD')) throw error;
      return { ...launch, state: 'undead' };
    }
  }

  async #record(launch: LaunchRecord): Promise<Exit> {
    const exit = await this.#lookAtEnd(launch);
    crashPoint('launch.ended');
    const recorded = await this.#machine.provisioner.launches.change(launch.id, {
      from: ['starting', 'created', 'running', 'paused', 'undead'],
      to: 'exited',
      ...(exit.finishedAt === undefined ? {} : { finishedAt: exit.finishedAt }),
      exit: JSON.stringify(exit),
      ...(exit.oomKills > 0 ? { cause: eventNote('oom', { oomKills: exit.oomKills }) } : {}),
      event: eventNote('exit', exit),
    });
    crashPoint('launch.endRecorded');
    if (recorded) this.#removals.add(this.#cleanings.begin(launch, (done) => this.#removals.delete(done)));
    return recorded ? exit : this.#recordedExit(launch, exit);
  }

  /** With nobody there who would tell its end, it has ended when nothing of it lives. */
  async #recordWhenDead(launch: LaunchRecord, signal: AbortSignal): Promise<Exit> {
    for (;;) {
      try {
        return await this.#record(launch);
      } catch (error) {
        if (!isProvisionerError(error, 'ERR_CONTAINER_UNDEAD')) throw error;
      }
      await sleep(DIES_LATER, undefined, { signal });
    }
  }

  /** @param lock of the watch, which is held until it is done */
  #removeLater(launch: LaunchRecord, lock: LockFile): void {
    if (launch.removal === 'keep') {
      lock.close();
      return;
    }
    // One that fails is tried again by the next recovery.
    const removal = this.#removeWhenRead(launch)
      .catch(() => undefined)
      .finally(() => {
        lock.close();
        this.#removals.delete(removal);
      });
    this.#removals.add(removal);
  }

  async #removeWhenRead({ containerId, id }: LaunchRecord): Promise<void> {
    const { closing } = this.#machine;
    while (!closing.aborted && (this.#held.get(id)?.size ?? 0) > 0) {
      await orAborted(Promise.all(this.#held.get(id) ?? []), closing).catch(() => undefined);
    }
    this.#held.delete(id);
    await this.remove(containerId, id);
  }

  /** Resolves when all that follows from the ends that were seen so far has been done. */
  async settled(): Promise<void> {
    await Promise.all(this.#removals.values());
  }

  async #recordedExit(launch: LaunchRecord, otherwise: Exit): Promise<Exit> {
    const recorded = await this.#machine.provisioner.launches.get(launch.containerId);
    return (recorded?.id === launch.id ? readExitNote(recorded.exit) : undefined) ?? otherwise;
  }

  /**
   * Records that a program that was held has been let go, unless it is known already. One that was killed at its gate never was.
   * @returns the launch as it is recorded now
   */
  async recordStart(launch: LaunchRecord): Promise<LaunchRecord> {
    const { launches } = this.#machine.provisioner;
    const startedAt = this.letGoAt(launch);
    if (startedAt !== undefined) {
      const isFirst = await launches.change(launch.id, {
        from: ['created'],
        to: 'running',
        startedAt,
        event: eventNote('start', { imageId: readPlaceNote(launch.place)?.image }),
      });
      if (isFirst) return { ...launch, state: 'running', startedAt };
    }
    const now = await launches.get(launch.containerId);
    return now?.id === launch.id ? now : launch;
  }

  /** When a program that was held was to go, in milliseconds since the epoch; undefined when it was not. */
  letGoAt({ id }: LaunchRecord): number | undefined {
    const text = readOrEmpty(this.directory(id).letGo);
    return /^\d+$/.test(text) ? Number(text) : undefined;
  }

  /** What waited at its gate may have been let go since its record was read, and have ended before anybody recorded that. */
  async #startedAt(launch: LaunchRecord): Promise<number | undefined> {
    return launch.state === 'created' ? (await this.recordStart(launch)).startedAt : launch.startedAt;
  }

  /** Somebody else may have seen the end, and removed the container, since we were told of it. */
  async #toldEnd(launch: LaunchRecord): Promise<Exit | undefined> {
    const { launches } = this.#machine.provisioner;
    const now = await launches.get(launch.containerId);
    if (now?.id === launch.id) return readExitNote(now.exit);
    const events = await launches.events({ since: launch.createdAt, limit: EVENTS_LOOKED_AT });
    return readExitNote(events.find(({ launchId, kind }) => launchId === launch.id && kind === 'exit')?.details);
  }

  /** What the monitor has said; where it can say nothing any more, what is left is ended. */
  async #lookAtEnd(launch: LaunchRecord): Promise<Exit> {
    const startedAt = await this.#startedAt(launch);
    const said = parseExitFile(readOrEmpty(this.directory(launch.id).exit));
    if (said !== undefined) return exitOf(said, startedAt, existsSync(this.directory(launch.id).overLimit));
    const told = await this.#toldEnd(launch);
    if (told !== undefined) return told;
    if (launch.bootId !== this.#machine.bootId) {
      return { reason: isHalfStarted(launch) ? 'start-failed' : 'lost-by-reboot', oomKills: 0, startedAt };
    }
    const cgroup = this.cgroupOf(launch);
    const oomKills = cgroup?.oomKills() ?? 0;
    const peakMemory = cgroup?.peakMemory();
    const cpuTime = cgroup?.cpuTime();
    // What has not died before is not waited for by each who looks.
    if (launch.state === 'undead') cgroup?.killAll('SIGKILL');
    const still = launch.state === 'undead' ? (cgroup?.processes() ?? []) : [];
    const living = processStates(still.length > 0 ? still : await this.endAll(launch));
    if (living.length > 0) throw await recordUndead(this.#machine, launch, living);
    const reason = isHalfStarted(launch) ? 'start-failed' : 'monitor-lost';
    return { reason, oomKills, peakMemory, cpuTime, startedAt, finishedAt: Date.now() };
  }

  /** As `endAll` of what a launch leaves. */
  endAll(launch: LaunchRecord): Promise<number[]> {
    return endAll(this.#machine, launch);
  }

  /** As `endStarting` of what is at a launch. */
  endStarting(launch: LaunchRecord): Promise<void> {
    return endStarting(this.#machine, launch);
  }

  /**
   * Takes hold of the program of a launch. Of one that has ended, or was there before the last boot, the number may be anybody's; so may that of a program whose start nobody saw any more.
   * @returns undefined when it runs no more
   */
  programOf(launch: LaunchRecord): ProcessHandle | undefined {
    const place = readPlaceNote(launch.place);
    if (launch.state === 'exited' || launch.bootId !== this.#machine.bootId) return undefined;
    if (place?.pid === undefined || place.startTicks === undefined) return undefined;
    return this.#machine.processes.open(place.pid, BigInt(place.startTicks));
  }

  /** Whether a program that was started has ended, recorded or not. With it goes all that is in its container. */
  hasEnded(launch: LaunchRecord): boolean {
    const program = this.programOf(launch);
    try {
      return program?.hasEnded() ?? true;
    } finally {
      program?.close();
    }
  }

  cgroupOf(launch: LaunchRecord): ContainerCgroup | undefined {
    const place = readPlaceNote(launch.place);
    return place === undefined
      ? undefined
      : new ContainerCgroup(this.#machine.hierarchies, place.cgroupsPath, this.#machine.surroundings);
  }

  /** Removes a container whose program has ended, and what its launch has left. Safe to repeat. */
  async remove(containerId: string, launchId: string): Promise<void> {
    // Another process may have done so, and somebody have launched another container of that name since.
    const newest = await this.#machine.provisioner.launches.get(containerId);
    if (newest?.id !== launchId) return;
    await this.#machine.provisioner.destroy(containerId, { anyOwner: true });
    crashPoint('launch.containerDestroyed');
    await this.forget(containerId, launchId);
  }

  /**
   * Takes away what a first launch has made that came to nothing, and nothing that somebody else has made under the same id meanwhile. Safe to repeat.
   * @param rootfsId of the root filesystem that it has made; undefined where it has made none
   */
  async undo({ containerId, id }: LaunchRecord, rootfsId: string | undefined): Promise<void> {
    const { provisioner } = this.#machine;
    if (rootfsId !== undefined) await provisioner.destroy(containerId, { anyOwner: true, rootfsIds: [rootfsId] });
    crashPoint('launch.containerDestroyed');
    await this.forget(containerId, id);
  }

  /**
   * Has a launch come to nothing that somebody is just beginning, perhaps with a pull of minutes: whoever does so finds that out.
   * @returns its exit; undefined when it had begun, or ended, by then
   */
  async cancel(launch: LaunchRecord): Promise<Exit | undefined> {
    if (launch.state !== 'starting') return undefined;
    const exit: Exit = { reason: 'start-failed', oomKills: 0 };
    const isFirst = await this.#machine.provisioner.launches.change(launch.id, {
      from: ['starting'],
      to: 'exited',
      exit: JSON.stringify(exit),
      event: eventNote('start-failed', { message: 'it was ended before its program ran' }),
    });
    if (!isFirst) return undefined;
    // A runtime may be at work, and a hook of a device: they would go on.
    await endMonitors(this.#machine.processes, launch.id);
    await this.endAll(launch);
    return exit;
  }

  /** Of a container that is gone. */
  async forget(containerId: string, launchId: string): Promise<void> {
    await this.#cleanings.of(launchId);
    // What cannot be given back now keeps its record, and is the next recovery's.
    await this.#isolators.cleanUp({ id: launchId, containerId }).catch(() => undefined);
    crashPoint('launch.cleanedUp');
    await this.#machine.provisioner.launches.forget(containerId, launchId);
    crashPoint('launch.forgotten');
    await this.takeAway(launchId);
  }

  /** As `takeAway` of what a launch leaves. */
  takeAway(launchId: string): Promise<void> {
    return takeAway(this.#machine, this.directory(launchId), launchId);
  }

  /** Somebody starts it, or its monitor lives. */
  isAttended(launchId: string): boolean {
    return isAttended(this.directory(launchId), this.#machine.syscalls);
  }

  /** As `isAbandoned` of its files. */
  isAbandoned(launchId: string): boolean {
    return isAbandoned(this.directory(launchId), this.#machine);
  }

  /** As `isWatched` of its files. */
  isWatched(launchId: string): boolean {
    return isWatched(this.directory(launchId), this.#machine.syscalls);
  }

  /** Resolves when a launch has ended, or nobody is at it any more. Nothing is recorded. @throws the reason of the signal */
  ended(launch: LaunchRecord, signal: AbortSignal): Promise<void> {
    return launchEnded(this.directory(launch.id), this.#machine.syscalls, { signal });
  }

  /** When the machine is closing: all watches have ended. What runs goes on. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#watched.values());
    await this.settled();
  }
}
