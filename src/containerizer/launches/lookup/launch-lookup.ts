import { checkArgument, text } from '../../../base/options/check-options.js';
import type { LaunchRecord } from '../../../index.js';
import { containerForeign, notLaunched } from '../../container-errors.js';
import type { Machine } from '../../machine.js';
import type { Halts } from '../beginnings/halts.js';
import type { Controls } from '../controls.js';
import type { Endings } from '../endings.js';
import { isOwnLaunch } from '../kept/launch-notes.js';

export interface LaunchLookupOptions {
  readonly machine: Machine;
  /** Who asks. */
  readonly owner: string;
  readonly endings: Endings;
  readonly controls: Controls;
  readonly halts: Halts;
}

/** Finds the launches of containers, as they are recorded and as they are now. */
export class LaunchLookup {
  readonly #options: LaunchLookupOptions;

  constructor(options: LaunchLookupOptions) {
    this.#options = options;
  }

  /** Those of all containers, as they are recorded. */
  async all(): Promise<LaunchRecord[]> {
    return (await this.#options.machine.provisioner.launches.list()).filter(isOwnLaunch);
  }

  /** The newest of a container, as it is recorded. */
  async recorded(containerId: string): Promise<LaunchRecord | undefined> {
    const launch = await this.#options.machine.provisioner.launches.get(containerId);
    return launch !== undefined && isOwnLaunch(launch) ? launch : undefined;
  }

  /** The same as it is now. */
  async now(containerId: string): Promise<LaunchRecord | undefined> {
    const launch = await this.recorded(containerId);
    return launch === undefined ? undefined : this.upToDate(launch);
  }

  /** As it is recorded. @throws ProvisionerError `ERR_CONTAINER_NOT_FOUND` */
  async find(containerId: string): Promise<LaunchRecord> {
    checkArgument('containerizer', 'containerId', text, containerId);
    const launch = await this.recorded(containerId);
    if (launch !== undefined) return launch;
    const { containers } = this.#options.machine.provisioner;
    throw notLaunched(containerId, (await containers.get(containerId)) !== undefined);
  }

  /** As it is now, where it may be changed. @throws ProvisionerError `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_FOREIGN` */
  async findOwn(containerId: string, anyOwner: boolean | undefined): Promise<LaunchRecord> {
    const launch = await this.upToDate(await this.find(containerId));
    this.requireOwn(containerId, launch.owner, anyOwner);
    return launch;
  }

  /** One that has ended while nobody looked is told as it is, and as nobody has recorded it yet. */
  async upToDate(launch: LaunchRecord): Promise<LaunchRecord> {
    const { machine, endings, halts, controls } = this.#options;
    if (launch.state === 'exited' || launch.state === 'starting') return launch;
    if (launch.bootId === machine.bootId && endings.isAttended(launch.id)) {
      return halts.upToDate(await controls.upToDate(launch));
    }
    // Whether by us or by another process: it is watched, and being recorded just now.
    return endings.finished(launch);
  }

  /** @throws ProvisionerError `ERR_CONTAINER_FOREIGN` */
  requireOwn(containerId: string, whose: string, anyOwner: boolean | undefined): void {
    const { owner } = this.#options;
    if (whose !== owner && anyOwner !== true) throw containerForeign(containerId, whose, owner);
  }
}
