import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StackedLayer } from '../backends/backend.js';
import type { BackendChoice, Backends } from '../backends/backends.js';
import { fileError, ProvisionerError, throwIfAborted } from '../errors.js';
import { ContainerLocks } from '../locks/container-locks.js';
import { isAlive, type ProcessIdentity } from '../locks/process-identity.js';
import type { ReadWriteLock } from '../locks/read-write-lock.js';
import type { Claim, ImageRecord, MetadataManager, RootfsRecord } from '../metadata/metadata-manager.js';
import type { StorePaths } from '../paths.js';
import type { RootfsDirectories } from './rootfs-directories.js';

export interface ContainersParts {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly backends: Backends;
  readonly directories: RootfsDirectories;
  /** Guards which directories under `layers/` may disappear; see `Provisioner`. */
  readonly layersLock: ReadWriteLock;
  readonly owner: string;
  readonly identity: ProcessIdentity;
}

export interface MadeRootfs {
  readonly image: ImageRecord;
  /** Absolute. */
  readonly rootfs: string;
  readonly rootfsId: string;
  readonly backend: string;
}

/** How long to wait before asking again for a container that another process works on, in milliseconds. */
const CLAIM_POLL = [2, 5, 10, 20, 50] as const;

/**
 * Provisions and destroys the rootfses of containers.
 *
 *   provision:  record intent ──► make directories ──► backend ──► record `ready`
 *   destroy:    record intent ──► backend lets go  ──► remove directories ──► forget
 *
 * A crash between two steps leaves a record that says how far it came, so the next destroy or recovery can put it right. The layers
 * lock is held, shared, only while the intent is recorded: from then on the record keeps the layers.
 */
export class Containers {
  readonly #parts: ContainersParts;
  readonly #locks = new ContainerLocks();

  constructor(parts: ContainersParts) {
    this.#parts = parts;
  }

  /** @param findImage called when it is this call's turn, so that a destroy that comes after waits for all of it */
  async provision(
    containerId: string,
    findImage: () => Promise<ImageRecord>,
    choice: BackendChoice,
    signal: AbortSignal | undefined,
  ): Promise<MadeRootfs> {
    return this.#locks.withContainer(
      containerId,
      async () => {
        const backend = this.#parts.backends.choose(choice);
        const image = await findImage();
        const id = randomUUID();
        const place = { id, containerId, backend: backend.name };
        const { metadata, owner, directories } = this.#parts;
        const layers = await this.#stack(image);
        await this.#claim(signal, () =>
          this.#parts.layersLock.withShared(
            () =>
              metadata.beginProvision(
                { ...place, owner, image: image.id, layers: image.layers },
                this.#parts.identity,
                isAlive,
              ),
            signal,
          ),
        );
        try {
          const { rootfs, scratch } = directories.create(place);
          const rootAttributes = layers.findLast((layer) => layer.describesRoot) ?? (layers[0] as StackedLayer);
          await backend.provision({ layers, rootAttributes: rootAttributes.rootfs, rootfs, scratch, signal });
          throwIfAborted(signal);
          await metadata.finishProvision(id);
          return { image, rootfs, rootfsId: id, backend: backend.name };
        } catch (error) {
          await this.#takeApart(place);
          await metadata.forgetRootfses([id]);
          throw fileError(error, 'provision the rootfs', directories.rootfs(place));
        }
      },
      signal,
    );
  }

  /** @returns false when there is no such container */
  async destroy(containerId: string, signal: AbortSignal | undefined): Promise<boolean> {
    return this.#locks.withContainer(
      containerId,
      async () => {
        const { metadata } = this.#parts;
        const rootfses = await this.#claim(signal, () =>
          metadata.beginDestroy(containerId, this.#parts.identity, isAlive),
        );
        if (rootfses.length === 0) return false;
        const gone: string[] = [];
        try {
          for (const rootfs of rootfses) {
            await this.#takeApart(rootfs);
            gone.push(rootfs.id);
          }
        } catch (error) {
          await metadata.forgetRootfses(gone);
          await metadata.releaseContainerClaims(containerId, this.#parts.identity);
          throw fileError(error, 'destroy the container', this.#parts.paths.container(containerId));
        }
        await metadata.forgetRootfses(gone);
        return true;
      },
      signal,
    );
  }

  async #takeApart(rootfs: Pick<RootfsRecord, 'id' | 'containerId' | 'backend'>): Promise<void> {
    const { backends, directories } = this.#parts;
    backends.named(rootfs.backend)?.destroy(directories.rootfs(rootfs));
    directories.remove(rootfs);
  }

  /** The layers of an image with what the records say of them, bottom first. */
  async #stack(image: ImageRecord): Promise<StackedLayer[]> {
    const { metadata, paths } = this.#parts;
    const stack = await metadata.getStack(image.id);
    if (stack.length === image.layers.length) {
      return stack.map((layer) => ({ ...layer, rootfs: paths.layerRootfs(layer.id) }));
    }
    throw new ProvisionerError('ERR_LAYER_NOT_FOUND', `layers of image ${image.id} are not stored any more`, {
      hint: `pull the image again from ${image.source}`,
      details: { image: image.id },
    });
  }

  /** Asks until no other living process works on the container. */
  async #claim<Value>(signal: AbortSignal | undefined, ask: () => Promise<Claim<Value>>): Promise<Value> {
    for (let attempt = 0; ; attempt++) {
      throwIfAborted(signal);
      const claim = await ask();
      if (claim.state === 'claimed') return claim.value;
      await sleep(CLAIM_POLL[Math.min(attempt, CLAIM_POLL.length - 1)]);
    }
  }
}
