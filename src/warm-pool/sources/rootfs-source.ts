import { throwIfAborted } from '../../base/errors.js';
import { isProvisionerError, type ProvisionedRootfs, type Provisioner, type ProvisionOptions } from '../../index.js';
import type { Cost, PoolSource } from '../pool/pool-source.js';
import { putNew, type WarmHoldings } from './warm-holdings.js';

/** A root filesystem that waits. */
export interface WarmRootfs {
  readonly root: ProvisionedRootfs;
}

export interface RootfsSourceOptions {
  readonly provisioner: Provisioner;
  readonly holdings: WarmHoldings;
  readonly newId: () => string;
  readonly image: string;
  readonly provision: Omit<ProvisionOptions, 'signal'>;
}

/** Root filesystems alone, for those who run something in them by their own means. */
export class RootfsSource implements PoolSource<WarmRootfs, ProvisionedRootfs, unknown> {
  readonly #options: RootfsSourceOptions;
  readonly known = new Set<string>();

  constructor(options: RootfsSourceOptions) {
    this.#options = options;
  }

  nameOf({ root }: WarmRootfs): string {
    return root.containerId;
  }

  /** One that is no copy shares all with its image until something is written. */
  costOf({ root }: WarmRootfs): Cost {
    return { memory: 0, disk: root.backend === 'copy' ? root.image.bytes : 0 };
  }

  async create(signal: AbortSignal): Promise<WarmRootfs> {
    const { provisioner, holdings, newId, image, provision } = this.#options;
    const containerId = newId();
    this.known.add(containerId);
    await putNew(holdings, containerId).catch((error: unknown) => {
      this.known.delete(containerId);
      throw error;
    });
    try {
      throwIfAborted(signal);
      return { root: await provisioner.provision(containerId, image, { ...provision, signal }) };
    } catch (error) {
      await holdings.forget(containerId).catch(() => undefined);
      this.known.delete(containerId);
      throw error;
    }
  }

  async fault({ root }: WarmRootfs): Promise<string | undefined> {
    const container = await this.#options.provisioner.containers.get(root.containerId);
    const rootfs = container?.rootfses.find(({ id }) => id === root.rootfsId);
    if (rootfs === undefined) return 'it is gone';
    return rootfs.state === 'ready' ? undefined : `its root filesystem is ${rootfs.state}`;
  }

  /** On the disk before it is told: after a power cut as well nobody else gets what somebody has written to. */
  async handOut({ root }: WarmRootfs): Promise<ProvisionedRootfs | undefined> {
    const { holdings } = this.#options;
    const { containerId } = root;
    if (!(await holdings.take(containerId))) return undefined;
    await holdings.flush(containerId);
    setImmediate(() => {
      holdings
        .forget(containerId)
        .catch(() => undefined)
        .finally(() => this.known.delete(containerId));
    });
    return root;
  }

  async destroy({ root: { containerId } }: WarmRootfs): Promise<void> {
    const { provisioner, holdings } = this.#options;
    try {
      await provisioner.destroy(containerId);
      await holdings.forget(containerId);
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_CONTAINER_RUNNING')) throw error;
      await holdings.forget(containerId);
    } finally {
      this.known.delete(containerId);
    }
  }

  discard(made: WarmRootfs): Promise<void> {
    return this.destroy(made);
  }
}
