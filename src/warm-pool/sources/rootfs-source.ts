import { crashPoint } from '../../base/crash-points.js';
import { throwIfAborted } from '../../base/errors.js';
import type { ProvisionedRootfs, Provisioner, ProvisionOptions } from '../../index.js';
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
      crashPoint('pool.recorded');
      throwIfAborted(signal);
      const root = await provisioner.provision(containerId, image, { ...provision, signal });
      crashPoint('pool.made');
      return { root };
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
  async handOut(made: WarmRootfs): Promise<ProvisionedRootfs | undefined> {
    const { holdings } = this.#options;
    const { containerId } = made.root;
    if (!(await holdings.take(containerId))) return undefined;
    crashPoint('pool.taken');
    try {
      if ((await this.fault(made)) === undefined) {
        // Before anybody has got it: what is found taken is nobody's.
        await holdings.forget(containerId);
        await holdings.flush(containerId);
        this.known.delete(containerId);
        crashPoint('pool.handedOut');
        return made.root;
      }
    } catch {
      // It is not handed out.
    }
    await this.#destroyTaken(made).catch(() => undefined);
    return undefined;
  }

  /** Of one that somebody else has taken by now nothing is to be done here. */
  async destroy(made: WarmRootfs): Promise<void> {
    const { containerId } = made.root;
    try {
      if (await this.#options.holdings.take(containerId)) await this.#destroyTaken(made);
    } finally {
      this.known.delete(containerId);
    }
  }

  async #destroyTaken({ root: { containerId } }: WarmRootfs): Promise<void> {
    const { provisioner, holdings } = this.#options;
    const places = { get: async () => undefined, destroy: provisioner.destroy.bind(provisioner) };
    try {
      await holdings.destroy(places, { containerId, kind: 'rootfs' });
    } finally {
      this.known.delete(containerId);
    }
  }

  async discard({ root: { containerId } }: WarmRootfs): Promise<void> {
    await this.#options.provisioner.destroy(containerId);
  }
}
