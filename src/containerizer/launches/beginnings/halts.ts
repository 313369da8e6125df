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

/** Milliseconds between looks whether somebody has done with letting it go on. */
const LOOK_AGAIN = 2;

/**
 * Has what runs stand still while its files are copied: by any number at a time, in whatever processes, and it goes on with the last of them.
 *
 *   lock shared ─► is it halted? else note that it is for this alone, and halt it ─► copy ─► give the lock back ─► nobody else has it? it goes on ─► take the note away
 *
 * Whoever dies in between leaves the note and gives back the lock, so that whoever looks at the container next lets it go on, and so do a recovery and `resume`. What somebody else has halted stays so.
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

  /** @param launch one that runs, as far as is known @throws ProvisionerError `ERR_FREEZE_TIMEOUT`, `ERR_ABORTED`, and what `work` throws */
  async during<T>(launch: LaunchRecord, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const lock = this.#open(launch);
    try {
      while (!lock.tryLock('shared')) {
        throwIfAborted(signal);
        await sleep(LOOK_AGAIN);
      }
      try {
        await this.#halt(launch);
        return await work();
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
    if (launch.state !== 'paused' || !existsSync(this.#endings.directory(launch.id).halted)) return launch;
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

  async #halt(launch: LaunchRecord): Promise<void> {
    // Whoever has halted it before, be it for the same.
    if (this.#endings.cgroupOf(launch)?.isFrozen()) return;
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
