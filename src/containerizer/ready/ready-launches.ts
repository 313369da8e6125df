import { setImmediate } from 'node:timers/promises';
import { isProvisionerError } from '../../base/errors.js';
import { checkArgument, text } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import type { LaunchRecord } from '../../index.js';
import { isKilled } from '../../system/syscalls/process-state.js';
import type { Launched, LetGoOptions, ReadyContainers, ReadyState } from '../containerizer.js';
import type { HealthChecks } from '../health/health-checks.js';
import { type Controls, notRunning } from '../launches/controls.js';
import type { Endings } from '../launches/endings.js';
import { readPlaceNote } from '../launches/kept/launch-notes.js';
import { changedMeanwhile } from '../launches/launch-errors.js';
import type { LaunchLookup } from '../launches/lookup/launch-lookup.js';
import { ALL_OUTPUT } from '../launches/starts.js';
import type { UnderWay } from '../launches/under-way.js';
import type { Machine } from '../machine.js';
import { LET_GO_OPTIONS } from '../options.js';
import { readOrEmpty } from '../read-or-empty.js';
import { rootfsOf } from '../rootfs-of.js';
import type { Attachments } from '../terminals/attachments.js';

export interface ReadyLaunchesOptions {
  readonly machine: Machine;
  readonly endings: Endings;
  readonly controls: Controls;
  readonly attachments: Attachments;
  readonly lookup: LaunchLookup;
  readonly underWay: UnderWay;
  readonly health: HealthChecks;
}

/** @see ReadyContainers */
export class ReadyLaunches implements ReadyContainers {
  readonly #options: ReadyLaunchesOptions;

  constructor(options: ReadyLaunchesOptions) {
    this.#options = options;
  }

  async fault(containerId: string, state: ReadyState): Promise<string | undefined> {
    checkArgument('ready.fault', 'containerId', text, containerId);
    const { machine, endings, health, lookup } = this.#options;
    const launch = await lookup.now(containerId);
    if (launch === undefined) return 'it is gone';
    if (launch.state !== state) return `it is ${launch.state}`;
    if (endings.hasEnded(launch)) return 'its program has ended';
    const place = readPlaceNote(launch.place);
    if (state === 'paused' && isKilled(place?.pid)) return 'it was killed, and ends as soon as it goes on';
    if (health.of(launch)?.status === 'unhealthy') return 'it is unhealthy';
    if (place?.network !== undefined && !isConnected(place.pid)) return 'it is not connected to its network any more';
    try {
      rootfsOf(containerId, await machine.provisioner.containers.get(containerId), undefined);
      return undefined;
    } catch (error) {
      if (!isProvisionerError(error)) throw error;
      return error.message;
    }
  }

  async letGo(containerId: string, options: LetGoOptions = {}): Promise<Launched> {
    const { attach } = takeOptions('ready.letGo', LET_GO_OPTIONS, options);
    const { endings, controls, attachments, lookup, underWay } = this.#options;
    return underWay.run(async () => {
      // As it is recorded: the gate tells whether it waits still.
      const launch = await lookup.find(containerId);
      lookup.requireOwn(containerId, launch.owner, false);
      if (launch.state !== 'created' || endings.hasEnded(launch)) throw notRunning(await lookup.upToDate(launch));
      const since = Date.now();
      if (!(await controls.letGo(launch))) throw changedMeanwhile(containerId);
      const launched = attachments.launched(
        { launch: { ...launch, state: 'running', startedAt: since } },
        attach,
        ALL_OUTPUT,
      );
      // Whoever has let it go goes on first.
      const followed = underWay.run(async () => {
        await setImmediate();
        await this.#followStart(launch);
      });
      followed.catch(() => undefined);
      return launched;
    });
  }

  async #followStart(launch: LaunchRecord): Promise<void> {
    const { controls, health } = this.#options;
    health.follow(await controls.started(launch));
  }
}

/** Whether anything can be reached from there: an interface that is gone, or down, or without its address, has no route. @param pid of a process in a network namespace @see proc(5), /proc/pid/net/route: a line of titles, and one for each route */
function isConnected(pid: number | undefined): boolean {
  const routes = readOrEmpty(`/proc/${pid ?? 'self'}/net/route`)
    .split('\n')
    .slice(1);
  return routes.some((line) => /^(?!lo\b)\S+\t/.test(line));
}
