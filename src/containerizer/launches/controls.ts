import { renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../base/crash-points.js';
import { ProvisionerError } from '../../base/errors.js';
import { writeOwnFile } from '../../base/own-files.js';
import type { LaunchRecord } from '../../index.js';
import type { ProcessHandle } from '../../system/processes/processes.js';
import type { ContainerCgroup } from '../cgroups/container-cgroup.js';
import { checkLimits } from '../cgroups/limits/check-limits.js';
import { readMachineFacts } from '../cgroups/limits/machine-facts.js';
import { printStates, processStates } from '../cgroups/process-states.js';
import type { ContainerStats } from '../containerizer.js';
import { eventNote, noteEvent } from '../events/container-event.js';
import type { LaunchLimits } from '../launch-spec.js';
import type { Machine } from '../machine.js';
import { readOrEmpty } from '../read-or-empty.js';
import { openGate } from '../runtime/start-gate.js';
import { signalNumber } from '../signal-number.js';
import { deadlineIn, heldDeadline, remainingOf } from './deadline.js';
import type { Endings } from './endings.js';
import type { Exit } from './exit.js';
import { keepLimits, readSpec } from './kept-spec.js';
import { type LaunchPlaceNote, readPlaceNote } from './launch-notes.js';
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
    const place = placeOf(launch);
    const { containerId, id } = launch;
    const { options } = readSpec(this.#endings.directory(id), containerId);
    // From now on: whoever dies in between leaves nothing that runs without its limit.
    this.#setTime(launch, deadlineIn);
    await openGate(place, id);
    crashPoint('launch.gateOpened');
    try {
      if (place.pid !== undefined) await requireFilter(place.pid, options.seccomp, containerId);
    } catch (error) {
      await this.end(launch);
      throw error;
    }
    return this.recordStart(launch);
  }

  /** Of a program that was held, and is not any more. */
  async recordStart(launch: LaunchRecord): Promise<LaunchRecord> {
    const startedAt = Date.now();
    const isFirst = await this.#machine.provisioner.launches.change(launch.id, {
      from: ['created'],
      to: 'running',
      startedAt,
      event: eventNote('start', { imageId: readPlaceNote(launch.place)?.image }),
    });
    if (isFirst) return { ...launch, state: 'running', startedAt };
    const now = await this.#machine.provisioner.launches.get(launch.containerId);
    return now?.id === launch.id ? now : launch;
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING`, `ERR_SIGNAL_UNKNOWN` */
  async kill(launch: LaunchRecord, signal: string | number): Promise<void> {
    const number = signalNumber(signal);
    // Before its program there is nobody who could be told anything.
    if (launch.state === 'created') throw notRunning(launch);
    const program = this.#program(launch);
    // Recorded beside it: neither waits for the other.
    const noted = noteEvent(this.#machine, launch, 'kill', { signal: number });
    try {
      if (!program.send(number)) throw notRunning(launch);
    } finally {
      program.close();
    }
    // Nothing that is frozen sees its end.
    if (number === SIGKILL && launch.state === 'paused') await this.resume(launch);
    await noted;
  }

  /** Asks once, and ends all of it after a while. */
  async stop(launch: LaunchRecord, signal: string | number | undefined, grace: number): Promise<Exit> {
    if (launch.state === 'created') return this.end(launch);
    const ended = this.#endings.watch(launch);
    const place = placeOf(launch);
    const program = this.#programOf(place);
    try {
      program?.send(signalNumber(signal ?? place.stopSignal ?? 'SIGTERM'));
      await noteEvent(this.#machine, launch, 'stop', { grace });
      // What is frozen must go on to end itself.
      if (launch.state === 'paused') await this.resume(launch);
      const over = new AbortController();
      const late = await Promise.race([
        ended.then(() => false),
        sleep(grace, true, { signal: over.signal }).catch(() => false),
      ]);
      over.abort();
      if (!late) return await ended;
    } finally {
      program?.close();
    }
    return this.end(launch);
  }

  /**
   * Kills all of it. Resolves when it has ended.
   * @throws ProvisionerError `ERR_CONTAINER_UNDEAD` when something of it does not die within ten seconds; a recovery tries again
   */
  async end(launch: LaunchRecord): Promise<Exit> {
    const ended = this.#endings.watch(launch);
    const place = readPlaceNote(launch.place);
    const program = this.#programOf(place);
    program?.send(SIGKILL);
    program?.close();
    const cgroup = this.#endings.cgroupOf(launch);
    cgroup?.killAll('SIGKILL');
    await noteEvent(this.#machine, launch, 'kill', { signal: SIGKILL });
    const late = performance.now() + DYING;
    do {
      const exit = await settledWithin(ended, KILLED_AGAIN);
      if (exit !== undefined) return exit;
      // What somebody is starting, or was when he died, may have come into its cgroup only after that.
      cgroup?.killAll('SIGKILL');
    } while (performance.now() < late);
    const { containerId, id } = launch;
    const states = printStates(processStates(cgroup?.processes() ?? []));
    await this.#machine.provisioner.launches.change(id, {
      from: ['starting', 'created', 'running', 'paused'],
      to: 'undead',
      event: eventNote('undead', { processes: states }),
    });
    throw new ProvisionerError(
      'ERR_CONTAINER_UNDEAD',
      `container ${containerId} was killed, and something of it does not die: ${states}`,
      {
        hint: 'in state `D` a process waits for a device or a file system; when it has gone on, recover',
        details: { containerId, processes: states },
      },
    );
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING` */
  async pause(launch: LaunchRecord): Promise<void> {
    if (launch.state === 'paused') return;
    if (launch.state === 'created') throw notRunning(launch);
    const cgroup = this.#runningCgroup(launch);
    if (!(await cgroup.freeze())) throw notRunning(launch);
    // Only now: whoever dies in between leaves nothing that runs without its limit.
    this.#setTime(launch, heldDeadline);
    await this.#machine.provisioner.launches.change(launch.id, {
      from: ['running'],
      to: 'paused',
      event: { kind: 'pause' },
    });
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING` */
  async resume(launch: LaunchRecord): Promise<void> {
    // Its time would begin to pass.
    if (launch.state === 'created') throw notRunning(launch);
    this.#setTime(launch, deadlineIn);
    await this.#runningCgroup(launch).thaw();
    await this.#machine.provisioner.launches.change(launch.id, {
      from: ['paused'],
      to: 'running',
      event: { kind: 'resume' },
    });
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_RUNNING`, `ERR_LIMIT_INVALID`, `ERR_LIMIT_UNSUPPORTED` */
  async update(launch: LaunchRecord, limits: LaunchLimits): Promise<void> {
    const { hierarchies } = this.#machine;
    checkLimits(limits, hierarchies, readMachineFacts(hierarchies), { update: true });
    if (!this.#runningCgroup(launch).update(limits)) throw notRunning(launch);
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

  #program(launch: LaunchRecord): ProcessHandle {
    const place = readPlaceNote(launch.place);
    const program = isUp(launch) ? this.#programOf(place) : undefined;
    if (program === undefined) throw notRunning(launch);
    return program;
  }

  /** A program whose start nobody saw any more had ended by then, and its number may be anybody's. */
  #programOf(place: LaunchPlaceNote | undefined): ProcessHandle | undefined {
    if (place?.pid === undefined || place.startTicks === undefined) return undefined;
    return this.#machine.processes.open(place.pid, BigInt(place.startTicks));
  }
}

/** Milliseconds within which what is killed is dead, unless something holds it. */
const DYING = 10_000;
/** Milliseconds after which it is killed once more. */
const KILLED_AGAIN = 200;

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

export function notRunning({ containerId, state }: LaunchRecord): ProvisionerError {
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
