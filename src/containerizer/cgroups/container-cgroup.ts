import { ProvisionerError } from '../../base/errors.js';
import { type BytePath, fromBytePath, printablePath, toBytePath } from '../../system/syscalls/byte-path.js';
import type { LaunchLimits } from '../launch-spec.js';
import type { MonitorCounters } from '../monitor/monitor-settings.js';
import { isDirectory, readCgroupFile, removeTree } from './cgroup-files.js';
import { type CgroupDriver, DRIVERS } from './drivers.js';
import { type Controller, directoryOf, type Hierarchies } from './hierarchies.js';
import { type KillReport, killAll, processesIn, type SendSignal } from './kill-all.js';
import { updateLimits } from './limits/update-limits.js';
import { parseLimit, parseNumber } from './numbers.js';
import { PAUSES_MS } from './pauses.js';
import { printStates, processStates } from './process-states.js';
import { settleFreezer } from './settle-freezer.js';
import type { InputOutput, MemoryUsage, Throttling } from './usage-files.js';

/** What a container uses, as its cgroup counts it. Undefined is what the machine does not count, and all of it when there is no such cgroup (any more). */
export interface CgroupStats extends MemoryUsage, Throttling, InputOutput {
  readonly peakMemoryBytes: number | undefined;
  readonly cpuNanoseconds: number | undefined;
  /** Processes and threads. */
  readonly pids: number | undefined;
  /** Undefined where there is none. */
  readonly pidsLimit: number | undefined;
  readonly oomKills: number | undefined;
}

export interface CgroupSurroundings {
  readonly sendSignal: SendSignal;
  /** Waits. */
  readonly pause: (milliseconds: number) => Promise<void>;
  /** Stands for `/`, in front of `/proc`. Default: empty, so `/` itself. */
  readonly root?: string | undefined;
}

interface Place {
  readonly driver: CgroupDriver;
  readonly directory: BytePath;
}

/**
 * The cgroup of one launch, in each hierarchy in which it has one. The runtime makes it; this reads it, freezes it, kills what is in it, changes its limits and
 * removes it. Nothing is kept between calls, so that any process may use it at any time, and a cgroup that is not there (not yet, or not any more) is no error unless a method says so.
 * Every method may throw `ERR_CGROUP`: mostly, this user may not.
 */
export class ContainerCgroup {
  readonly #hierarchies: Hierarchies;
  readonly #surroundings: CgroupSurroundings;
  readonly #placesOf = new Map<Controller, readonly Place[]>();
  readonly cgroupsPath: BytePath;

  /** @param cgroupsPath as `linux.cgroupsPath` has it: `parentOf` the store, a slash, the launch id */
  constructor(hierarchies: Hierarchies, cgroupsPath: string, surroundings: CgroupSurroundings) {
    // A root, or a way up, would be somebody else's processes.
    if (!/^(?:\/(?!\.{1,2}(?:\/|$))[^/\n\0]+){2,}$/.test(cgroupsPath))
      throw new TypeError(`not the path of a container's cgroup: ${JSON.stringify(cgroupsPath)}`);
    this.#hierarchies = hierarchies;
    this.#surroundings = surroundings;
    this.cgroupsPath = toBytePath(cgroupsPath);
    for (const hierarchy of hierarchies.mounted) {
      const place = { driver: DRIVERS[hierarchy.version], directory: directoryOf(hierarchy, this.cgroupsPath) };
      for (const controller of hierarchy.controllers)
        this.#placesOf.set(controller, [...this.#places(controller), place]);
    }
  }

  /** Whether there is a trace of it in any hierarchy. */
  exists(): boolean {
    return this.#directories().some(isDirectory);
  }

  /** A few hundredths of a millisecond: each file is read anew. */
  stats(): CgroupStats {
    const memory = this.#first('memory', ({ driver, directory }) => driver.usage.memory(directory), hasValue);
    const throttling = this.#first('cpu', ({ driver, directory }) => driver.usage.throttling(directory), hasValue);
    const io = this.#first('io', ({ driver, directory }) => driver.usage.io(directory), hasValue);
    const inPids = (name: string) =>
      this.#first('pids', ({ directory }) => readCgroupFile(`${directory}/${name}`), isDefined);
    return {
      memoryBytes: memory?.memoryBytes,
      memoryLimitBytes: memory?.memoryLimitBytes,
      peakMemoryBytes: this.peakMemory(),
      oomKills: this.oomKills(),
      cpuNanoseconds: this.cpuTime(),
      throttledPeriods: throttling?.throttledPeriods,
      throttledNanoseconds: throttling?.throttledNanoseconds,
      pids: parseNumber(inPids('pids.current')),
      pidsLimit: parseLimit(inPids('pids.max')),
      readBytes: io?.readBytes,
      writtenBytes: io?.writtenBytes,
    };
  }

  /** How many of its processes the kernel has killed for want of memory, whoever's limit it was. Still there after the last one has gone. */
  oomKills(): number | undefined {
    return this.#first('memory', ({ driver, directory }) => driver.usage.oomKills(directory), isDefined);
  }

  /** In bytes. Undefined before Linux 5.19 in version 2. */
  peakMemory(): number | undefined {
    return this.#first('memory', ({ driver, directory }) => driver.usage.peakMemoryBytes(directory), isDefined);
  }

  /** In nanoseconds, of all that ever ran in it. */
  cpuTime(): number | undefined {
    return this.#first('cpuacct', ({ driver, directory }) => driver.usage.cpuNanoseconds(directory), isDefined);
  }

  /** Where it is, or would be, in each hierarchy. */
  directories(): string[] {
    return this.#directories().map(fromBytePath);
  }

  /** The files that tell a monitor of its end, absolute. */
  monitored(): MonitorCounters {
    const files = (['memory', 'cpuacct', 'freezer'] as const).flatMap((controller) => {
      const [place] = this.#places(controller);
      const named = place === undefined ? [] : Object.entries(place.driver.monitored[controller]);
      return named.map(([key, name]) => [key, `${fromBytePath(place?.directory ?? '')}/${name}`]);
    });
    return Object.fromEntries(files);
  }

  /** Those in it and below it, in any hierarchy, ascending, as this process's PID namespace numbers them; those that it cannot see are not among them. */
  processes(): number[] {
    return processesIn(this.#directories());
  }

  /**
   * Waits until no process runs any more, for two seconds at most.
   * @returns false where there is nothing to freeze, since the cgroup is not there
   * @throws ProvisionerError `ERR_FREEZE_TIMEOUT` with the processes that cannot be frozen as `processes`; all go on then. `ERR_CGROUP`
   */
  async freeze(): Promise<boolean> {
    return this.#settle(true);
  }

  /** The other way round: what was frozen goes on. @throws ProvisionerError `ERR_FREEZE_TIMEOUT` when it is frozen by a cgroup around it; `ERR_CGROUP` */
  async thaw(): Promise<boolean> {
    return this.#settle(false);
  }

  /** Whether all in it stand still. */
  isFrozen(): boolean {
    return this.#first('freezer', ({ driver, directory }) => driver.freezer.state(directory), isDefined) === 'frozen';
  }

  /** Signals all, see `killAll`; what was frozen is thawed by that. After `SIGKILL` nothing can be started in it any more. Does not wait for anyone to die. */
  killAll(signal: NodeJS.Signals): KillReport {
    const { mode, mounted } = this.#hierarchies;
    const directories = this.#directories();
    const [only] = mode === 'v2' && mounted.length === 1 ? directories : [];
    return killAll(
      {
        cgroupsPath: this.cgroupsPath,
        directories,
        onlyVersion2: only,
        pids: this.#places('pids')[0]?.directory,
        freeze: (frozen) => {
          const place = this.#freezerPlace();
          place?.driver.freezer.ask(place.directory, frozen);
        },
        sendSignal: this.#surroundings.sendSignal,
        root: this.#surroundings.root ?? '',
      },
      signal,
    );
  }

  /**
   * Changes limits while the container runs, all that are named or none. What is left out stays as it is, but that memory alone takes swap along: both together
   * become as much, so no swap. `checkLimits` comes first.
   * @returns false where the cgroup is not there
   * @throws ProvisionerError `ERR_LIMIT_UPDATE` when the kernel did not take one, with `limit` and `errno`, and in `notRestored` those that could not be put back;
   *   memory below what is in use is `EBUSY`, in version 2 too, where the kernel would kill instead. `ERR_LIMIT_UNSUPPORTED`
   */
  update(limits: LaunchLimits): boolean {
    const place = (controller: Controller) => this.#places(controller)[0];
    return this.exists() && updateLimits(limits, this.#hierarchies, place);
  }

  /**
   * Removes it and all below it in each hierarchy, and waits two seconds at most for the last processes to be gone. Nothing is killed.
   * @throws ProvisionerError `ERR_CGROUP_BUSY` with those that are still there, and their states, as `processes`; `ERR_CGROUP`
   */
  async remove(): Promise<void> {
    let left = this.#directories();
    for (const milliseconds of [0, ...PAUSES_MS]) {
      if (milliseconds > 0) await this.#surroundings.pause(milliseconds);
      left = left.filter((directory) => !removeTree(directory));
      if (left.length === 0) return;
    }
    const processes = printStates(processStates(processesIn(left), this.#surroundings.root));
    throw new ProvisionerError('ERR_CGROUP_BUSY', `something is still in the cgroup ${printablePath(left[0] ?? '')}`, {
      hint:
        processes.length > 0 ? 'kill its processes first; in state `D` one waits for a device or a file system' : '',
      details: { path: printablePath(left[0] ?? ''), processes },
    });
  }

  #directories(): BytePath[] {
    return this.#hierarchies.mounted.map((hierarchy) => directoryOf(hierarchy, this.cgroupsPath));
  }

  /** Where a controller may be met, version 1 first. */
  #places(controller: Controller): readonly Place[] {
    return this.#placesOf.get(controller) ?? [];
  }

  #first<T>(controller: Controller, read: (place: Place) => T, counts: (value: T) => boolean): T | undefined {
    for (const place of this.#places(controller)) {
      const value = read(place);
      if (counts(value)) return value;
    }
    return undefined;
  }

  #freezerPlace(): Place | undefined {
    return this.#places('freezer').find(({ driver, directory }) => driver.freezer.state(directory) !== undefined);
  }

  async #settle(frozen: boolean): Promise<boolean> {
    const place = this.#freezerPlace();
    if (place === undefined) return false;
    const { driver, directory } = place;
    const outcome = await settleFreezer(driver.freezer, directory, frozen, this.#surroundings.pause);
    if (outcome !== 'late') return outcome === 'settled';
    // By now those that could be frozen run again, and only the others stand still.
    const states = processStates(processesIn([directory]), this.#surroundings.root);
    const processes = printStates(states.filter(({ state }) => state === 'D'));
    const path = printablePath(directory);
    throw new ProvisionerError(
      'ERR_FREEZE_TIMEOUT',
      `the cgroup ${path} did not ${frozen ? 'freeze' : 'thaw'} in time`,
      { details: { path, processes } },
    );
  }
}

function isDefined(value: unknown): boolean {
  return value !== undefined;
}

function hasValue(value: object): boolean {
  return Object.values(value).some(isDefined);
}
