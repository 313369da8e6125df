import { crashPoint } from '../../base/crash-points.js';
import { isProvisionerError, throwIfAborted } from '../../base/errors.js';
import type { Containerizer, CreateOptions, Launch, ReadyState } from '../../containerizer/index.js';
import type { Cost, PoolSource } from '../pool/pool-source.js';
import { putNew, type WarmHoldings } from './warm-holdings.js';

/** A container that waits. */
export interface WarmContainer {
  readonly containerId: string;
  readonly image: string | undefined;
  memory: number;
  disk: number;
  /** How often it was looked at. */
  looks: number;
}

export interface ContainerSourceOptions {
  readonly containerizer: Containerizer;
  readonly holdings: WarmHoldings;
  readonly newId: () => string;
  readonly image: string;
  readonly launch: CreateOptions;
  /** Bytes that it has for itself. */
  readonly diskOf: (containerId: string) => Promise<number>;
  /** `created`: it waits at its gate. `running`, `paused`: its program does whatever it does while it waits. */
  readonly state: ReadyState;
}

/** What it takes is looked up with each so-manieth look: the disk takes a walk over what it has written. */
const LOOKS_A_LOOK_AT_MEMORY = 10;
const LOOKS_A_LOOK_AT_THE_DISK = 120;

/** How a claimed container is to be had. */
export interface ContainerHow {
  readonly attach: boolean;
}

/** Containers whose programs are held at their gates, or run and wait for work. */
export class ContainerSource implements PoolSource<WarmContainer, Launch, ContainerHow> {
  readonly #options: ContainerSourceOptions;
  /** Those that are under way, or in the pool: nobody else looks after them. */
  readonly known = new Set<string>();

  constructor(options: ContainerSourceOptions) {
    this.#options = options;
  }

  nameOf({ containerId }: WarmContainer): string {
    return containerId;
  }

  costOf({ memory, disk }: WarmContainer): Cost {
    return { memory, disk };
  }

  async create(signal: AbortSignal): Promise<WarmContainer> {
    const { containerizer, holdings, newId, image, launch, state } = this.#options;
    const containerId = newId();
    this.known.add(containerId);
    await putNew(holdings, containerId).catch((error: unknown) => {
      this.known.delete(containerId);
      throw error;
    });
    try {
      crashPoint('pool.recorded');
      throwIfAborted(signal);
      const options = { ...launch, signal };
      const made =
        state === 'created'
          ? await containerizer.create(containerId, image, options)
          : await containerizer.launch(containerId, image, options);
      crashPoint('pool.made');
      if (state === 'paused') await containerizer.pause(containerId);
      return { containerId, image: made.image, memory: await this.#memoryOf(containerId), disk: 0, looks: 0 };
    } catch (error) {
      // One that was there before is somebody else's.
      if (isProvisionerError(error, 'ERR_CONTAINER_EXISTS')) await this.#forget(containerId).catch(() => undefined);
      else await this.#end(containerId, 'kill').catch(() => undefined);
      throw error;
    }
  }

  /** One that was made before. */
  adopted(containerId: string, image: string | undefined): WarmContainer {
    this.known.add(containerId);
    return { containerId, image, memory: 0, disk: 0, looks: 0 };
  }

  async fault(made: WarmContainer): Promise<string | undefined> {
    const fault = await this.#options.containerizer.ready.fault(made.containerId, this.#options.state);
    if (fault === undefined) {
      if (made.looks % LOOKS_A_LOOK_AT_MEMORY === 0) made.memory = await this.#memoryOf(made.containerId);
      if (made.looks % LOOKS_A_LOOK_AT_THE_DISK === 0) made.disk = await this.#options.diskOf(made.containerId);
      made.looks++;
    }
    return fault;
  }

  async handOut({ containerId }: WarmContainer, { attach }: ContainerHow): Promise<Launch | undefined> {
    const { holdings, state } = this.#options;
    if (!(await holdings.take(containerId))) return undefined;
    crashPoint('pool.taken');
    try {
      if (state === 'created') return await this.#letGo(containerId, attach);
      const launch = await this.#goOn(containerId);
      if (launch !== undefined) {
        await this.#forgetHandedOut(containerId);
        return launch;
      }
    } catch (error) {
      // What was not at its gate any more may be his who has started it by its id; of what is found so only later this cannot be told.
      const wasHeld = state === 'created' && !isProvisionerError(error, 'ERR_CONTAINER_NOT_RUNNING');
      if (wasHeld) await this.#end(containerId, 'refuse').catch(() => undefined);
    }
    await this.#destroyTaken(containerId).catch(() => undefined);
    return undefined;
  }

  /** No gate tells whether it lives still; and what was killed while it stands still dies only when it goes on. */
  async #goOn(containerId: string): Promise<Launch | undefined> {
    const { containerizer, state } = this.#options;
    const isWhole = async (as: ReadyState) => (await containerizer.ready.fault(containerId, as)) === undefined;
    if (state === 'paused') {
      if (!(await isWhole('paused'))) return undefined;
      await containerizer.resume(containerId);
    }
    return (await isWhole('running')) ? containerizer.get(containerId) : undefined;
  }

  /** Its gate tells that it was handed out; what is recorded beside that goes when there is time. */
  async #letGo(containerId: string, attach: boolean): Promise<Launch> {
    const launch = await this.#options.containerizer.ready.letGo(containerId, { attach });
    setImmediate(() => void this.#forgetHandedOut(containerId).catch(() => undefined));
    return launch;
  }

  /** Where no gate tells it, that it is recorded no more does: before anybody has got it. */
  async #forgetHandedOut(containerId: string): Promise<void> {
    if (this.#options.state === 'created') crashPoint('pool.handedOut');
    await this.#forget(containerId);
    if (this.#options.state !== 'created') crashPoint('pool.handedOut');
  }

  /** Of one that somebody else has taken by now nothing is to be done here. */
  async destroy({ containerId }: WarmContainer): Promise<void> {
    try {
      if (await this.#options.holdings.take(containerId)) await this.#destroyTaken(containerId);
    } finally {
      this.known.delete(containerId);
    }
  }

  #forget(containerId: string): Promise<void> {
    return this.#options.holdings.forget(containerId).finally(() => this.known.delete(containerId));
  }

  async #destroyTaken(containerId: string): Promise<void> {
    const { containerizer, holdings, state } = this.#options;
    try {
      await holdings.destroy(containerizer, { containerId, kind: state === 'created' ? 'created' : 'generic' });
    } finally {
      this.known.delete(containerId);
    }
  }

  discard({ containerId }: WarmContainer): Promise<void> {
    return this.#end(containerId, 'kill');
  }

  async #end(containerId: string, running: 'kill' | 'refuse'): Promise<void> {
    const { containerizer, holdings } = this.#options;
    try {
      await containerizer.destroy(containerId, { running });
      await holdings.forget(containerId);
    } finally {
      this.known.delete(containerId);
    }
  }

  async #memoryOf(containerId: string): Promise<number> {
    return (await this.#options.containerizer.stats(containerId)).memory ?? 0;
  }
}
