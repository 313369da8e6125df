import { renameSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../base/crash-points.js';
import { ProvisionerError } from '../../base/errors.js';
import { writeOwnFile } from '../../base/own-files.js';
import type { LaunchRecord } from '../../index.js';
import type { ProcessHandle } from '../../system/processes/processes.js';
import { isStopped } from '../../system/syscalls/process-state.js';
import type { ContainerCgroup } from '../cgroups/container-cgroup.js';
import { checkLimits } from '../cgroups/limits/check-limits.js';
import { readMachineFacts } from '../cgroups/limits/machine-facts.js';
import { processStates } from '../cgroups/process-states.js';
import type { ContainerStats } from '../containerizer.js';
import { eventNote, noteEvent } from '../events/container-event.js';
import type { LaunchLimits } from '../launch-spec.js';
import type { Machine } from '../machine.js';
import { attendantsOf, isMonitorOf } from '../processes/attendants.js';
import { readOrEmpty } from '../read-or-empty.js';
import { isHeld, openGate } from '../runtime/start-gate.js';
import { signalNumber } from '../signal-number.js';
import { deadlineIn, heldDeadline, remainingOf } from './deadline.js';
import type { Endings } from './endings.js';
import { recordUndead } from './ends/undead.js';
import type { Exit } from './kept/exit.js';
import { keepLimits, readSpec } from './kept/kept-spec.js';
import { type LaunchPlaceNote, readExitNote, readPlaceNote, readSpecNote } from './kept/launch-notes.js';
import { requireFilter } from './require-filter.js';

const SIGKILL = 9;

/** What is done to a program that runs. */
export class Controls {
  readonly #machine: Machine;
  readonly #endings: Endings;

  constructor(machine: Machine, endings: Endings) {
    this.#machine = machine;
    this.#endings = endings;
  }

  /**
   * Lets a program go that is held at its gate. One that has gone already is left alone.
   * @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING`, `ERR_RUNTIME_UNUSABLE`
   */
  async start(launch: LaunchRecord): Promise<LaunchRecord> {
    await this.letGo(launch);
    return this.started(launch);
  }

  /**
   * The first step of a start: its program is on its way.
   * @returns whether it waited @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING`
   */
  async letGo(launch: LaunchRecord): Promise<boolean> {
    const place = placeOf(launch);
    // From now on: whoever dies in between leaves nothing that runs without its limit.
    if (readSpecNote(launch.spec).timeout !== undefined) this.#setTime(launch, deadlineIn);
    // Its end may be recorded before its start is: whoever does so learns of it here.
    writeOwnFile(this.#endings.directory(launch.id).letGo, `${Date.now()}`);
    const waited = await openGate(place, launch.id);
    crashPoint('launch.gateOpened');
    return waited;
  }

  /** The second one: it is looked at, and recorded. @throws ProvisionerError `ERR_RUNTIME_UNUSABLE`; then it has been ended */
  async started(launch: LaunchRecord): Promise<LaunchRecord> {
    const { pid } = placeOf(launch);
    const { options } = readSpec(this.#endings.directory(launch.id), launch.containerId);
    try {
      if (pid !== undefined) await requireFilter(pid, options.seccomp, launch.containerId);
    } catch (error) {
      await this.end(launch);
      throw error;
    }
    return this.#endings.recordStart(launch);
  }

  /** Resolves after `SIGKILL` when the program has ended, or after ten seconds. @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING`, `ERR_SIGNAL_UNKNOWN` */
  async kill(launch: LaunchRecord, signal: string | number): Promise<void> {
    const number = signalNumber(signal);
    // Before its program there is nobody who could be told anything.
    if (!isUp(launch) || launch.state === 'created') throw notRunning(launch);
    const program = this.#endings.programOf(launch);
    try {
      // Recorded beside it: neither waits for the other.
      const noted = noteEvent(this.#machine, launch, 'kill', { signal: number });
      if (!program?.send(number)) throw await this.#ended(launch);
      if (number === SIGKILL) await this.#letDie(launch, program);
      await noted;
    } finally {
      program?.close();
    }
  }

  /** Nothing that is frozen sees its end; and somebody may freeze it only now. */
  async #letDie(launch: LaunchRecord, program: ProcessHandle): Promise<void> {
    const cgroup = this.#endings.cgroupOf(launch);
    const late = performance.now() + DYING;
    for (let pause = 1; !program.hasEnded() && performance.now() < late; pause = Math.min(2 * pause, LOOK_AGAIN)) {
      await cgroup?.thaw();
      if (!program.hasEnded()) await sleep(pause);
    }
    // What does not die was made to go on all the same.
    if (!program.hasEnded()) await this.followFreezer(launch);
  }

  /** Asks once, and ends all of it after a while. */
  async stop(launch: LaunchRecord, signal: string | number | undefined, grace: number): Promise<Exit> {
    if (launch.state === 'created') return this.end(launch);
    const ended = this.#endings.watch(launch);
    const place = placeOf(launch);
    const program = this.#endings.programOf(launch);
    try {
      program?.send(signalNumber(signal ?? place.stopSignal ?? 'SIGTERM'));
      await noteEvent(this.#machine, launch, 'stop', { grace });
    } finally {
      program?.close();
    }
    // What is frozen must go on to end itself, whoever freezes it and whenever.
    const thaw = async () => {
      const cgroup = this.#endings.cgroupOf(launch);
      if (cgroup?.isFrozen() && (await cgroup.thaw())) await this.followFreezer(launch);
    };
    await thaw();
    const exit = await this.#settled(ended, grace, async () => {
      await thaw();
      this.#wakeMonitor(launch);
    });
    return exit ?? this.end(launch);
  }

  /**
   * Kills all of it. Resolves when it has ended.
   * @throws ProvisionerError `ERR_CONTAINER_UNDEAD` when something of it does not die within ten seconds, or its monitor does not tell its end; a recovery tries again
   */
  async end(launch: LaunchRecord): Promise<Exit> {
    const recorded = readExitNote(launch.exit);
    if (launch.state === 'exited' && recorded !== undefined) return recorded;
    const ended = this.#endings.watch(launch);
    const place = readPlaceNote(launch.place);
    const directory = this.#endings.directory(launch.id);
    // What is killed at its gate has never gone, although somebody may have died as he was letting it.
    if (launch.state === 'created' && place !== undefined && isHeld(place, launch.id))
      rmSync(directory.letGo, { force: true });
    const program = this.#endings.programOf(launch);
    program?.send(SIGKILL);
    program?.close();
    const cgroup = this.#endings.cgroupOf(launch);
    cgroup?.killAll('SIGKILL');
    await noteEvent(this.#machine, launch, 'kill', { signal: SIGKILL });
    const exit = await this.#settled(ended, DYING, () => {
      // What somebody is starting, or was when he died, may have come into its cgroup only after that; and what was frozen meanwhile does not see its end.
      cgroup?.killAll('SIGKILL');
      this.#wakeMonitor(launch);
    });
    if (exit !== undefined) return exit;
    throw await recordUndead(this.#machine, launch, processStates(cgroup?.processes() ?? []));
  }

  /**
   * What a launch's end comes to, if it does so in time; undefined when it does not.
   * @param meanwhile is done each fifth of a second @throws as the watch fails
   */
  async #settled(ended: Promise<Exit>, milliseconds: number, meanwhile: () => unknown): Promise<Exit | undefined> {
    const late = performance.now() + milliseconds;
    for (;;) {
      const left = Math.max(0, late - performance.now());
      const exit = await settledWithin(ended, Math.min(left, LOOK_AGAIN));
      if (exit !== undefined || left === 0) return exit;
      await meanwhile();
    }
  }

  /** A monitor that somebody has stopped would never tell the end of its program. */
  #wakeMonitor(launch: LaunchRecord): void {
    if (launch.state === 'starting' || !this.#endings.hasEnded(launch)) return;
    for (const pid of attendantsOf(launch.id)) {
      // Held first, and looked at then: no other process has its number by now.
      const attendant = this.#machine.processes.open(pid);
      if (isMonitorOf(pid, launch.id) && isStopped(pid)) attendant?.send(constants.signals.SIGCONT);
      attendant?.close();
    }
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING`, `ERR_FREEZE_TIMEOUT` */
  async pause(launch: LaunchRecord): Promise<void> {
    if (launch.state === 'created') throw notRunning(launch);
    const isThere = await this.#runningCgroup(launch).freeze();
    // Only now: whoever dies in between leaves nothing that runs without its limit.
    const now = await this.followFreezer(launch);
    // A cgroup outlives the last process in it for a moment.
    if (!isThere || this.#endings.hasEnded(now)) throw await this.#ended(launch);
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING`, `ERR_FREEZE_TIMEOUT` */
  async resume(launch: LaunchRecord): Promise<void> {
    // Its time would begin to pass.
    if (launch.state === 'created') throw notRunning(launch);
    const cgroup = this.#runningCgroup(launch);
    this.#setTime(launch, deadlineIn);
    if (!(await cgroup.thaw())) throw await this.#ended(launch);
    await this.followFreezer(launch);
  }

  /**
   * Has the record of what runs, and its time, say what its freezer does, which others may ask at the same time, or have asked before they died. What is recorded late is looked at
   * again: whoever was last to ask it then has its way.
   * @returns the launch as it is now
   */
  async followFreezer(launch: LaunchRecord): Promise<LaunchRecord> {
    const cgroup = this.#endings.cgroupOf(launch);
    if (launch.state !== 'running' && launch.state !== 'paused') return launch;
    let now = launch;
    while (!this.#endings.hasEnded(launch) && cgroup?.exists()) {
      const isFrozen = cgroup.isFrozen();
      this.#setTime(launch, isFrozen ? heldDeadline : deadlineIn);
      await this.#machine.provisioner.launches.change(
        launch.id,
        isFrozen
          ? { from: ['running'], to: 'paused', event: eventNote('pause') }
          : { from: ['paused'], to: 'running', event: eventNote('resume') },
      );
      now = { ...launch, state: isFrozen ? 'paused' : 'running' };
      if (cgroup.isFrozen() === isFrozen) break;
    }
    return now;
  }

  /** What a launch is whose record says that it runs, as far as the look at it tells otherwise. */
  async upToDate(launch: LaunchRecord): Promise<LaunchRecord> {
    switch (launch.state) {
      case 'created': {
        const place = readPlaceNote(launch.place);
        // Whoever started it died before that was recorded.
        return place === undefined || isHeld(place, launch.id) ? launch : this.#endings.recordStart(launch);
      }
      case 'running':
      case 'paused': {
        const isFrozen = this.#endings.cgroupOf(launch)?.isFrozen() ?? false;
        return isFrozen === (launch.state === 'paused') ? launch : this.followFreezer(launch);
      }
      default:
        return launch;
    }
  }

  /**
   * That of disk space belongs to the root filesystem, which is there as long as the container: alone it is changed for the next start too.
   * @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING`, `ERR_LIMIT_INVALID`, `ERR_LIMIT_UNSUPPORTED`
   */
  async update(launch: LaunchRecord, limits: LaunchLimits): Promise<void> {
    const { hierarchies } = this.#machine;
    checkLimits(limits, hierarchies, readMachineFacts(hierarchies), { update: true });
    const { diskBytes, ...others } = limits;
    const isOfDisk = diskBytes !== undefined && Object.values(others).every((limit) => limit === undefined);
    if (!(isOfDisk && launch.state === 'exited') && !this.#runningCgroup(launch).update(limits))
      throw await this.#ended(launch);
    keepLimits(this.#endings.directory(launch.id), launch.containerId, limits);
    await noteEvent(this.#machine, launch, 'update', limits);
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING` */
  stats(launch: LaunchRecord): ContainerStats {
    const used = this.#runningCgroup(launch).stats();
    return {
      memory: used.memoryBytes,
      peakMemory: used.peakMemoryBytes,
      memoryLimit: used.memoryLimitBytes,
      cpuTime: used.cpuNanoseconds,
      throttledPeriods: used.throttledPeriods,
      processes: used.pids,
      processLimit: used.pidsLimit,
      oomKills: used.oomKills ?? 0,
    };
  }

  /** The processes in it, looked up each time. @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING` */
  pids(launch: LaunchRecord): () => readonly number[] {
    const cgroup = this.#runningCgroup(launch);
    return () => cgroup.processes();
  }

  /** From now on what is left of its time passes, or does not. */
  #setTime(launch: LaunchRecord, asText: (milliseconds: number) => string): void {
    const { deadline } = this.#endings.directory(launch.id);
    const left = remainingOf(readOrEmpty(deadline));
    if (left === undefined || left.isHeld === (asText === heldDeadline)) return;
    const draft = `${deadline}.${process.pid}`;
    writeOwnFile(draft, asText(left.milliseconds));
    renameSync(draft, deadline);
  }

  #runningCgroup(launch: LaunchRecord): ContainerCgroup {
    const cgroup = this.#endings.cgroupOf(launch);
    if (cgroup === undefined || !isUp(launch)) throw notRunning(launch);
    return cgroup;
  }

  /** That what was up when its record was read is not any more. */
  async #ended({ id, containerId }: LaunchRecord): Promise<ProvisionerError> {
    const now = await this.#machine.provisioner.launches.get(containerId);
    if (now === undefined) return notRunning({ containerId, state: 'destroyed' });
    // Its end may not have been recorded yet.
    return notRunning({ containerId, state: now.id === id && !isUp(now) ? now.state : 'exited' });
  }
}

/** Milliseconds within which what is killed is dead, unless something holds it. */
const DYING = 10_000;
/** Milliseconds after which what is to end is looked at once more. */
const LOOK_AGAIN = 200;

/** Whether its program is there. */
export const isUp = ({ state }: LaunchRecord) => state === 'running' || state === 'paused' || state === 'created';

/** @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING` */
export function placeOf(launch: LaunchRecord): LaunchPlaceNote {
  const place = readPlaceNote(launch.place);
  if (place === undefined) throw notRunning(launch);
  return place;
}

/** What can be done about it. */
const INSTEAD: Readonly<Record<string, string>> = {
  created: '`provisioner start` lets its program go, `destroy` takes it away',
  paused: '`provisioner unpause` lets it go on',
  exited: '`provisioner start` runs its program once more',
};

export function notRunning({
  containerId,
  state,
}: {
  readonly containerId: string;
  readonly state: string;
}): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_NOT_RUNNING', `container ${containerId} does not run: it is ${state}`, {
    ...(Object.hasOwn(INSTEAD, state) ? { hint: INSTEAD[state] } : {}),
    details: { containerId, state },
  });
}

/** What a promise comes to, if it does so soon; undefined when it does not. @throws as it fails */
async function settledWithin<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  const over = new AbortController();
  try {
    return await Promise.race([promise, sleep(milliseconds, undefined, { signal: over.signal })]);
  } finally {
    over.abort();
  }
}
