import type { Provisioner } from '../../index.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import type { IsolatedLaunch, IsolatedSpec, Isolator } from '../isolators/isolator.js';
import { findVolumes } from './find-volumes.js';

/**
 * Gives launches their volumes. There is nothing to clean up with a launch: a container has its volumes until it is destroyed, and the store forgets that, and removes those without a name,
 * with its root filesystem.
 */
export class VolumeIsolator implements Isolator {
  readonly #provisioner: Provisioner;
  readonly #calls: () => TreeCalls;

  constructor(provisioner: Provisioner, calls: () => TreeCalls) {
    this.#provisioner = provisioner;
    this.#calls = calls;
  }

  async prepare(
    { containerId }: IsolatedLaunch,
    isolated: IsolatedSpec,
    signal: AbortSignal | undefined,
  ): Promise<IsolatedSpec> {
    const { root, spec } = isolated;
    const seeker = { provisioner: this.#provisioner, calls: this.#calls(), containerId, root };
    return { ...isolated, spec: await findVolumes(seeker, spec, signal) };
  }

  async cleanUp(): Promise<void> {}

  async recover(): Promise<string[]> {
    return [];
  }

  async close(): Promise<void> {}
}
