import { crashPoint } from '../../base/crash-points.js';
import { throwIfAborted } from '../../base/errors.js';
import type { Containerizer, CreateOptions, Launch, ReadyState } from '../../containerizer/index.js';
import { isProvisionerError } from '../../index.js';
import type { Cost, PoolSource } from '../pool/pool-source.js';
import { putNew, type WarmHoldings } from './warm-holdings.js';

/** A container that waits. */
export interface WarmContainer {
  readonly containerId: string;
  readonly image: string | undefined;
  memory: number;
  /** How often it was looked at. */
  looks: number;
}

export interface ContainerSourceOptions {
  readonly containerizer: Containerizer;
  readonly holdings: WarmHoldings;
  readonly newId: () => string;
  readonly image: string;
  readonly launch: CreateOptions;
  /** `created`: it waits at its gate. `running`, `paused`: its program does whatever it does while it waits. */
  readonly state: ReadyState;
}

/** Memory is looked up with each so-manieth look. */
const LOOKS_A_LOOK_AT_MEMORY = 10;

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

  costOf({ memory }: WarmContainer): Cost {
    return { memory, disk: 0 };
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
      return { containerId, image: made.image, memory: await this.#memoryOf(containerId), looks: 0 };
    } catch (error) {
      // One that was there before is somebody else's.
      if (!isProvisionerError(error, 'ERR_CONTAINER_EXISTS')) await this.#end(containerId, true).catch(() => undefined);
      else await this.#forget(containerId).catch(() => undefined);
      throw error;
    }
  }

  /** One that was made before. */
  adopted(containerId: string, image: string | undefined): WarmContainer {
    this.known.add(containerId);
    return { containerId, image, memory: 0, looks: 0 };
  }

  async fault(made: WarmContainer): Promise<string | undefined> {
    const fault = await this.#options.containerizer.ready.fault(made.containerId, this.#options.state);
    if (fault === undefined && made.looks++ % LOOKS_A_LOOK_AT_MEMORY === 0) {
      made.memory = await this.#memoryOf(made.containerId);
    }
    return fault;
  }

  async handOut({ containerId }: WarmContainer, { attach }: ContainerHow): Promise<Launch | undefined> {
    const { containerizer, holdings, state } = this.#options;
    if (!(await holdings.take(containerId))) return undefined;
    crashPoint('pool.taken');
    try {
      if (state === 'created') return await containerizer.ready.letGo(containerId, { attach });
      if (state === 'paused') await containerizer.resume(containerId);
      // No gate tells whether it lives still.
      const fault = await containerizer.ready.fault(containerId, 'running');
      if (fault === undefined) return await containerizer.get(containerId);
      await this.#end(containerId, true).catch(() => undefined);
      return undefined;
    } catch (error) {
      // Somebody has started it by its id: it is his.
      const isHis = isProvisionerError(error, 'ERR_CONTAINER_RUNNING', 'ERR_CONTAINER_NOT_RUNNING');
      if (!isHis) await this.#end(containerId, true).catch(() => undefined);
      return undefined;
    } finally {
      this.#forgetLater(containerId);
    }
  }

  /** That it was handed out is recorded; what is recorded beside that goes when there is time. */
  #forgetLater(containerId: string): void {
    setImmediate(() => {
      crashPoint('pool.handedOut');
      this.#forget(containerId).catch(() => undefined);
    });
  }

  #forget(containerId: string): Promise<void> {
    return this.#options.holdings.forget(containerId).finally(() => this.known.delete(containerId));
  }

  destroy({ containerId }: WarmContainer): Promise<void> {
    return this.#end(containerId, this.#options.state !== 'created');
  }

  discard({ containerId }: WarmContainer): Promise<void> {
    return this.#end(containerId, true);
  }

  /** @param isOurs whether what runs in it is nobody else's */
  async #end(containerId: string, isOurs: boolean): Promise<void> {
    const { containerizer, holdings } = this.#options;
    try {
      await containerizer.destroy(containerId, { running: isOurs ? 'kill' : 'refuse' });
      crashPoint('pool.destroyed');
      await holdings.forget(containerId);
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_CONTAINER_RUNNING')) throw error;
      // Somebody has started it by its id.
      await holdings.forget(containerId);
    } finally {
      this.known.delete(containerId);
    }
  }

  async #memoryOf(containerId: string): Promise<number> {
    return (await this.#options.containerizer.stats(containerId)).memory ?? 0;
  }
}
