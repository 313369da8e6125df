import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ProvisionerError, systemCode } from '../base/errors.js';
import type { Marks } from '../files/tree/marks.js';
import { letGo } from '../mounts/let-go.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import {
  type Backend,
  type BackendVerdict,
  type DescriptionOf,
  effectiveStack,
  marksVerdict,
  type RootfsRequest,
  type StackedLayer,
} from './backend.js';
import { caveatOf, probeIn } from './probe.js';

/**
 * Shows a layer itself, read-only: nothing is copied and nothing can be written. Only for images that come down to a single
 * layer without whiteouts, since nothing is merged.
 */
export class BindBackend implements Backend {
  readonly name = 'bind';
  readonly mounts = true;
  readonly keepsInMemory = false;
  readonly #syscalls: () => Syscalls;
  readonly #owners: Pick<Marks, 'outOfReach'>;

  /** @param owners what this process does not see of those of the layers' files */
  constructor(syscalls: () => Syscalls, owners: Pick<Marks, 'outOfReach'>) {
    this.#syscalls = syscalls;
    this.#owners = owners;
  }

  describe(layers: readonly StackedLayer[]): DescriptionOf<'bind'> {
    const stack = effectiveStack(layers);
    const [layer] = stack;
    if (layer === undefined || stack.length > 1) {
      throw new ProvisionerError('ERR_BACKEND_LIMIT', `bind shows a single layer, the image has ${stack.length}`, {
        hint: 'provision it with --backend overlay or --backend copy',
        details: { layers: stack.length, limit: 1 },
      });
    }
    if (layer.whiteouts) {
      throw new ProvisionerError('ERR_BACKEND_LIMIT', 'bind cannot hide the whiteouts of the image', {
        hint: 'provision it with --backend overlay or --backend copy',
      });
    }
    return { type: 'bind', source: layer.rootfs, readOnly: true };
  }

  async provision(request: RootfsRequest): Promise<void> {
    this.#syscalls().mountBindReadOnly(this.describe(request.layers).source, request.rootfs);
  }

  async restore(request: RootfsRequest): Promise<void> {
    await this.provision(request);
  }

  layOut(): void {}

  writtenIn(): undefined {
    return undefined;
  }

  async letGoOfMemory(): Promise<void> {}

  async destroy(rootfs: string, aside: boolean): Promise<void> {
    await letGo(this.#syscalls(), rootfs, aside);
  }

  /** Nobody writes: any number of mounts may show one layer. */
  isInUse(): boolean {
    return false;
  }

  /** A bind mount leaves no trace that could be asked for. */
  mayBeMounted(): boolean {
    return true;
  }

  ownDirectories(): readonly string[] {
    return [];
  }

  probe(prefix: () => string): BackendVerdict {
    const out = this.#owners.outOfReach();
    if (out !== undefined) return marksVerdict('show the layers of this store', out);
    return probeIn(prefix, (place) => this.#tryIn(place));
  }

  #tryIn(place: string): BackendVerdict {
    const source = join(place, 'source');
    const target = join(place, 'target');
    mkdirSync(source);
    mkdirSync(target);
    this.#syscalls().mountBindReadOnly(source, target);
    try {
      writeFileSync(join(target, 'written'), 'x');
      return { usable: false, reason: 'a probe mount was not read-only' };
    } catch (error) {
      if (systemCode(error) !== 'EROFS') throw error;
      return { usable: true, reason: 'a probe mount worked; for images of one layer, read-only', ...caveatOf(place) };
    } finally {
      this.#syscalls().detachMount(target);
    }
  }
}
