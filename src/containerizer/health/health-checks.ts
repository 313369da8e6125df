import { Semaphore } from 'async-mutex';
import { anySignal } from '../../base/any-signal.js';
import { isProvisionerError } from '../../base/errors.js';
import type { LaunchRecord } from '../../index.js';
import type { LockFile } from '../../system/syscalls/lock-file.js';
import type { ExecOptions, Execution, Launch } from '../containerizer.js';
import { noteEvent } from '../events/container-event.js';
import type { Executor } from '../execs/executor.js';
import type { Controls } from '../launches/controls.js';
import type { Endings } from '../launches/endings.js';
import { readSpec } from '../launches/kept/kept-spec.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';
import { readPlaceNote } from '../launches/kept/launch-notes.js';
import type { Machine } from '../machine.js';
import { endCheck } from './end-check.js';
import { keepHealth, readHealth } from './health-file.js';
import { checkAgainAndAgain, healthClock, pause } from './health-loop.js';
import { type HealthSettings, healthSettings } from './health-settings.js';
import { type Health, UNKNOWN_HEALTH } from './health-state.js';
import { LaterStarts } from './later-starts.js';
import { runCheck } from './run-check.js';

/** Milliseconds between looks whether whoever checks lives, and whether what was created has been let go. */
const LOOK_AGAIN = 500;
/** Milliseconds until what has failed to check a container begins anew. */
const TRY_AGAIN = 1000;
/** Of a container that is asked to end for being unhealthy. */
const GRACE = 10_000;
/** Milliseconds in which checks that are under way come to their end when all is closed: what stands still does not. */
const CLOSING = 2000;
/** Milliseconds by which a check may begin late. */
const LATE = 1000;
/** Milliseconds for which a check keeps others from being begun: most have ended by then, and one that hangs holds nobody up. */
const BEGINNING = 1000;

/**
 * The checks of what is launched, recovered or waited for here, and of what becomes of it when it is started again, by whomever. Of all processes that would check a container one does, which holds a lock for it; when it dies the kernel gives that free, and another one goes on
 * from what is kept in the launch's directory.
 */
export class HealthChecks {
  readonly #machine: Machine;
  readonly #endings: Endings;
  readonly #executor: Executor;
  readonly #controls: Controls;
  /** More begun at a time take longer, each and all together. */
  readonly #turns: Semaphore;
  readonly #followed = new Map<string, Promise<void>>();
  readonly #later: LaterStarts;
  readonly #over = new AbortController();

  constructor(machine: Machine, endings: Endings, executor: Executor, controls: Controls, atATime: number) {
    this.#machine = machine;
    this.#endings = endings;
    this.#executor = executor;
    this.#controls = controls;
    this.#turns = new Semaphore(atATime);
    this.#later = new LaterStarts(machine.provisioner.launches, (launch) => this.follow(launch));
  }

  /** From now on, until they end, where there is something to be checked. */
  follow(...launches: readonly LaunchRecord[]): void {
    for (const launch of launches) {
      if (isOver(launch) || this.#over.signal.aborted || this.#followed.has(launch.id) || !isChecked(launch)) continue;
      this.#later.know(launch.containerId);
      const following = this.#followToEnd(launch).finally(() => this.#followed.delete(launch.id));
      this.#followed.set(launch.id, following);
    }
  }

  /** How a container is, as whoever checks it has found; undefined where nothing is checked. */
  of(launch: LaunchRecord): Health | undefined {
    if (!isChecked(launch)) return undefined;
    const { status, failingStreak, results } = readHealth(this.#endings.directory(launch.id)) ?? UNKNOWN_HEALTH;
    return { status, failingStreak, results };
  }

  /** Whether what is known of it is no older than where it is checked all the time. Of what stands still there is nothing newer. */
  isCurrent({ launchId, containerId, state }: Launch): boolean {
    if (state === 'paused') return true;
    const directory = this.#endings.directory(launchId);
    const settings = settingsIn(directory, containerId);
    const kept = readHealth(directory);
    const newest = kept?.results.findLast(({ reason }) => reason !== 'not-run');
    if (settings === undefined || newest === undefined) return false;
    const age = Date.now() - newest.finishedAt;
    const mostWhile = kept?.checking === undefined ? 0 : settings.timeout;
    return age >= -LATE && age <= settings.interval + mostWhile + LATE;
  }

  /** Nothing is checked any more, by this process. */
  async close(): Promise<void> {
    this.#over.abort();
    await this.#later.close();
    const late = new AbortController();
    const stood = pause(healthClock(), CLOSING, late.signal);
    await Promise.race([Promise.all(this.#followed.values()), stood]);
    late.abort();
  }

  /** Whatever fails on the way, such as for want of a descriptor, passes: another process may go on meanwhile, and else this one does. */
  async #followToEnd(launch: LaunchRecord): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      try {
        return await this.#follow(launch);
      } catch {
        if (!(await this.#isThere(launch))) return;
        await pause(healthClock(), TRY_AGAIN, signal);
      }
    }
  }

  /** Whether it is still the launch that its container has, and has not ended. True in doubt. */
  async #isThere({ id, containerId }: LaunchRecord): Promise<boolean> {
    try {
      const now = await this.#machine.provisioner.launches.get(containerId);
      return now?.id === id && !isOver(now);
    } catch (error) {
      return !isProvisionerError(error, 'ERR_CLOSED');
    }
  }

  async #follow(launch: LaunchRecord): Promise<void> {
    const directory = this.#endings.directory(launch.id);
    const ended = new AbortController();
    const signal = anySignal([ended.signal, this.#over.signal]);
    const end = () => ended.abort();
    void this.#endings.watch(launch).then(end, end);
    const clock = healthClock();
    const settings = settingsIn(directory, launch.containerId);
    if (settings === undefined) return;
    const lock = await this.#turnOf(directory, signal);
    if (lock === undefined) return;
    try {
      let startedAt = launch.startedAt ?? this.#endings.letGoAt(launch);
      while (startedAt === undefined && !signal.aborted) {
        await pause(clock, LOOK_AGAIN, signal);
        startedAt = this.#endings.letGoAt(launch);
      }
      const kept = readHealth(directory);
      // Whoever had begun it has died, and nobody would end it any more.
      if (kept?.checking !== undefined) await this.#end(launch, kept.checking);
      await checkAgainAndAgain({
        ...{ settings, clock, kept, signal, startedAt: startedAt ?? clock.now() },
        isHalted: () => this.#isHalted(launch),
        check: (id, over) => this.#check(launch, settings, id, over),
        keep: (health) => keepHealth(directory, health),
        tell: ({ status, failingStreak }) => noteEvent(this.#machine, launch, 'health', { status, failingStreak }),
        act: () => this.#act(launch, settings),
      });
    } finally {
      lock.close();
    }
  }

  /** @returns undefined when it has ended before the turn came */
  async #turnOf({ healthLock }: LaunchDirectory, signal: AbortSignal): Promise<LockFile | undefined> {
    const clock = healthClock();
    while (!signal.aborted) {
      const lock = this.#machine.syscalls.openLockFile(healthLock);
      if (lock.tryLock('exclusive')) return lock;
      lock.close();
      await pause(clock, LOOK_AGAIN, signal);
    }
    return undefined;
  }

  async #check(launch: LaunchRecord, settings: HealthSettings, id: string, signal: AbortSignal) {
    const clock = healthClock();
    const [, release] = await this.#turns.acquire();
    const giveUp = clock.after(BEGINNING, release);
    try {
      return await runCheck(
        {
          settings,
          clock,
          exec: (command, options) => this.#exec(launch, command, options),
          isHalted: () => this.#isHalted(launch),
          end: (one) => this.#end(launch, one),
        },
        id,
        signal,
      );
    } finally {
      giveUp();
      release();
    }
  }

  /** Of what is running: whether it stands still has been looked at. No event tells of it. */
  #exec(launch: LaunchRecord, command: readonly string[], options: ExecOptions): Promise<Execution> {
    return this.#executor.exec({ ...launch, state: 'running' }, command, options, { isTold: false });
  }

  /** What cannot be looked at, for want of a descriptor, is taken for halted: then nothing counts against it. */
  #isHalted(launch: LaunchRecord): boolean {
    try {
      return this.#endings.cgroupOf(launch)?.isFrozen() ?? false;
    } catch {
      return true;
    }
  }

  async #end(launch: LaunchRecord, id: string): Promise<void> {
    const cgroup = this.#endings.cgroupOf(launch);
    const first = readPlaceNote(launch.place)?.pid;
    await endCheck(this.#machine.processes, () => cgroup?.processes() ?? [], first, id);
  }

  /** What fails, the next check that fails does again. */
  async #act(launch: LaunchRecord, { onFailure }: HealthSettings): Promise<void> {
    if (onFailure === 'none') return;
    const now = { ...launch, state: 'running' as const };
    const acting = onFailure === 'kill' ? this.#controls.end(now) : this.#controls.stop(now, undefined, GRACE);
    await acting.catch(() => undefined);
  }
}

function settingsIn(directory: LaunchDirectory, containerId: string): HealthSettings | undefined {
  const { options, root } = readSpec(directory, containerId);
  return healthSettings(options.health, root.runtime.healthcheck);
}

const isOver = ({ state }: LaunchRecord): boolean => state === 'exited' || state === 'undead';

/** Whether there is a command that says how it is. */
const isChecked = ({ place }: LaunchRecord): boolean => readPlaceNote(place)?.checked === true;
