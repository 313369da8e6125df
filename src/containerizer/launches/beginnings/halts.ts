import { existsSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../../base/crash-points.js';
import { isProvisionerError, throwIfAborted } from '../../../base/errors.js';
import { writeOwnFile } from '../../../base/own-files.js';
import type { LaunchRecord } from '../../../index.js';
import type { LockFile } from '../../../system/syscalls/lock-file.js';
import type { Machine } from '../../machine.js';
import type { Controls } from '../controls.js';
import type { Endings } from '../endings.js';
import { wentOnMeanwhile } from '../launch-errors.js';

/** Milliseconds between looks whether somebody has done with letting it go on. */
const LOOK_AGAIN = 2;

/**
 * Has what runs stand still while its files are copied: by any number at a time, in whatever processes, and it goes on with the last of them.
 *
 *   lock shared ─► is it halted? else note that it is for this alone, and halt it ─► copy ─► give the lock back ─► nobody else has it? it goes on ─► take the note away
 *
 * Whoever dies in between leaves the note and gives back the lock, so that whoever looks at the container next lets it go on, and so do a recovery and `resume`. What somebody else has halted stays so; and what somebody lets go on before
 * the copy is whole may have written to files that were being copied.
 */
export class Halts {
  readonly #machine: Machine;
  readonly #endings: Endings;
  readonly #controls: Controls;

  constructor(machine: Machine, endings: Endings, controls: Controls) {
    this.#machine = machine;
    this.#endings = endings;
    this.#controls = controls;
  }

  /**
   * @param launch one that runs or is paused, as far as is known
   * @throws ProvisionerError `ERR_CONTAINER_RUNNING` when somebody has let it go on, or ended it, before the work was done; `ERR_FREEZE_TIMEOUT`, `ERR_ABORTED`, and what `work` throws
   */
  async during<T>(launch: LaunchRecord, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const lock = this.#open(launch);
    try {
      while (!lock.tryLock('shared')) {
        throwIfAborted(signal);
        await sleep(LOOK_AGAIN);
      }
      try {
        await this.#halt(launch);
        const isStill = this.#isStill(launch);
        const done = await work();
        if (isStill && !this.#isStill(launch)) throw wentOnMeanwhile(launch.containerId);
        return done;
      } finally {
        lock.unlock();
        await this.#letGo(launch, lock);
      }
    } finally {
      lock.close();
    }
  }

  /** Lets go what stands still for somebody who has died since. @returns the launch as it is now */
  async upToDate(launch: LaunchRecord): Promise<LaunchRecord> {
    if (!this.isForCopies(launch)) return launch;
    const lock = this.#open(launch);
    try {
      return (await this.#letGo(launch, lock)) ? { ...launch, state: 'running' } : launch;
    } finally {
      lock.close();
    }
  }

  /** It is halted because somebody says so, and stays so. */
  keep(launch: LaunchRecord): void {
    rmSync(this.#endings.directory(launch.id).halted, { force: true });
  }

  /** Whether it stands still for copies alone, and so goes on with the last of them. */
  isForCopies(launch: LaunchRecord): boolean {
    return launch.state === 'paused' && existsSync(this.#endings.directory(launch.id).halted);
  }

  /** Whoever has halted it. False as well for what has ended. */
  #isStill(launch: LaunchRecord): boolean {
    return this.#endings.cgroupOf(launch)?.isFrozen() ?? false;
  }

  async #halt(launch: LaunchRecord): Promise<void> {
    // Be it for the same.
    if (this.#isStill(launch)) return;
    writeOwnFile(this.#endings.directory(launch.id).halted, '');
    try {
      await this.#controls.pause(launch);
    } catch (error) {
      // What has ended meanwhile writes nothing either.
      if (!isProvisionerError(error, 'ERR_CONTAINER_NOT_RUNNING')) throw error;
    }
    crashPoint('launch.halted');
  }

  /** @param lock that is not held @returns whether it was let go; false while others copy */
  async #letGo(launch: LaunchRecord, lock: LockFile): Promise<boolean> {
    const { halted } = this.#endings.directory(launch.id);
    if (!existsSync(halted) || !lock.tryLock('exclusive')) return false;
    try {
      await this.#controls.resume({ ...launch, state: 'paused' });
      rmSync(halted, { force: true });
      return true;
    } catch (error) {
      // With its end, so do its files. What cannot go on now does so with the next look.
      if (isProvisionerError(error, 'ERR_CONTAINER_NOT_RUNNING')) rmSync(halted, { force: true });
      return false;
    } finally {
      lock.unlock();
    }
  }

  #open(launch: LaunchRecord): LockFile {
    return this.#machine.syscalls.openLockFile(this.#endings.directory(launch.id).haltsLock);
  }
}
