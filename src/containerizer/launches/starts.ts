import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import type { LaunchRecord, Provisioner } from '../../index.js';
import type { Launched, StartOptions, StopOptions } from '../containerizer.js';
import type { Attachments } from '../terminals/attachments.js';
import { type Controls, notRunning } from './controls.js';
import type { Endings } from './endings.js';
import { launchOf } from './launch-of.js';
import type { Launcher, Started } from './launcher.js';
import { requireDevices } from './require-devices.js';
import type { UnderWay } from './under-way.js';

/** Of a program whose output is wanted from its first byte: whoever reads along is told what of it was dropped before he came to it. */
export const ALL_OUTPUT = new Date(0);

/** What starts build on. */
export interface StartsOptions {
  readonly provisioner: Provisioner;
  readonly endings: Endings;
  readonly launcher: Launcher;
  readonly controls: Controls;
  readonly attachments: Attachments;
  readonly underWay: UnderWay;
  /** The newest launch of a container, as it is recorded. */
  readonly launch: (containerId: string) => Promise<LaunchRecord | undefined>;
  /** The same as it is now, where it may be changed. */
  readonly findOwn: (containerId: string, anyOwner: boolean | undefined) => Promise<LaunchRecord>;
  /** @param since what of the output is new */
  readonly watching: (started: Started, attach: boolean | undefined, since: Date) => Launched;
}

/** Starts of what is there already, whatever state it is in. */
export class Starts {
  readonly #options: StartsOptions;

  constructor(options: StartsOptions) {
    this.#options = options;
  }

  async start(containerId: string, options: StartOptions): Promise<Launched> {
    const { findOwn, underWay, provisioner, endings, attachments, controls } = this.#options;
    const { anyOwner, ...own } = options;
    const launch = await findOwn(containerId, anyOwner);
    if (own.stdin === 'pipe' && launch.state !== 'exited' && !launchOf(launch).hasTerminal) {
      throw new ProvisionerError(
        'ERR_BAD_OPTION',
        `container ${containerId} is ${launch.state}, and what reads its standard input was settled when it was made`,
        { hint: 'leave out `-i`; `run -i` feeds a new one, and what has ended can be fed', details: { containerId } },
      );
    }
    switch (launch.state) {
      case 'exited':
        return this.#again(launch, options);
      case 'starting':
        await underWay.begun(provisioner, endings, launch, options.signal);
        return this.start(containerId, options);
      case 'created': {
        const attached = attachments.launched({ launch }, own.attach, ALL_OUTPUT);
        if (own.size !== undefined) attached.terminal?.resize(own.size);
        return { ...attached, ...launchOf(await controls.start(launch)) };
      }
      case 'running':
        return attachments.launched({ launch }, own.attach, new Date());
      default:
        throw notRunning(launch);
    }
  }

  /** Of what has ended. */
  async #again(last: LaunchRecord, { anyOwner, ...own }: StartOptions): Promise<Launched> {
    const { launcher, watching, launch } = this.#options;
    const { containerId } = last;
    // What it has printed before stands before that in its log.
    const since = new Date();
    try {
      return watching(await launcher.again(last, own), own.attach, since);
    } catch (error) {
      const now = await launch(containerId);
      const isStartedByOther = now !== undefined && now.id !== last.id && now.state !== 'exited';
      if (!isProvisionerError(error, 'ERR_CONTAINER_RUNNING') || !isStartedByOther) throw error;
      return this.start(containerId, { anyOwner, ...own });
    }
  }

  /** @param grace milliseconds from the wish to end until all is killed */
  async restart(containerId: string, { anyOwner, signal }: StopOptions, grace: number): Promise<Launched> {
    const { findOwn, endings, controls } = this.#options;
    const launch = await findOwn(containerId, anyOwner);
    if (launch.removal === 'remove') {
      throw new ProvisionerError(
        'ERR_BAD_OPTION',
        `container ${containerId} is removed when its program ends, and so cannot be started again`,
        { hint: 'launch it without `--rm`, or anew', details: { containerId } },
      );
    }
    // Where it is starting somebody else is at it: two at once come to one.
    if (launch.state !== 'starting' && launch.state !== 'exited') {
      await requireDevices(endings.directory(launch.id), containerId);
      await controls.stop(launch, signal, grace);
    }
    return this.start(containerId, { anyOwner });
  }
}
