import { copyDirectoryAttributes } from '../files/tree/copying/copy-directory-attributes.js';
import { type Marks, marksNeedNativeCalls } from '../files/tree/marks.js';
import { isOverlayFormat, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import { letGoOfTree } from '../mounts/let-go-of-tree.js';
import { loadTreeCalls } from '../system/syscalls/load-tree-calls.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import {
  type Backend,
  type BackendVerdict,
  type DescriptionOf,
  effectiveStack,
  marksVerdict,
  type RootfsRequest,
  type StackedLayer,
} from './backend.js';
import { copyOnThreads } from './copy-on-threads.js';
import { caveatOf, probeIn } from './probe.js';

const DEED = 'copy the layers of this store';

export interface CopyBackendNeeds {
  readonly syscalls: () => Syscalls;
  readonly pool: WorkerPool;
  readonly whiteouts: WhiteoutFormat;
  /** Of the store with these whiteouts. */
  readonly marks: Pick<Marks, 'outOfReach' | 'require'>;
  readonly privileged: boolean;
}

/**
 * Copies the merged tree. Works on any file system for any user, shows what overlay would show, and costs the time and the space of a copy
 * (a reflink where the file system has them). An ordinary user gets the files, not their owners and devices.
 */
export class CopyBackend implements Backend {
  readonly name = 'copy';
  readonly mounts = false;
  readonly keepsInMemory = false;
  readonly #needs: CopyBackendNeeds;

  constructor(needs: CopyBackendNeeds) {
    this.#needs = needs;
  }

  describe(layers: readonly StackedLayer[]): DescriptionOf<'copy'> {
    return { type: 'copy', layers: effectiveStack(layers).map((layer) => layer.rootfs) };
  }

  async provision(request: RootfsRequest): Promise<void> {
    const { syscalls, pool, whiteouts, marks, privileged } = this.#needs;
    marks.require(DEED);
    const { layers } = this.describe(request.layers);
    const job = { layers, target: request.rootfs, whiteouts, privileged };
    await copyOnThreads(pool, job, pool.size, request.signal);
    copyDirectoryAttributes(request.rootAttributes, request.rootfs, loadTreeCalls(syscalls()), privileged);
  }

  async restore(): Promise<void> {}

  layOut(): void {}

  writtenIn(rootfs: string): string {
    return rootfs;
  }

  async letGoOfMemory(): Promise<void> {}

  async destroy(rootfs: string): Promise<void> {
    // Nothing of ours is mounted. What the container's runtime mounted in it and left (a volume, /proc) must not be deleted with the files.
    await letGoOfTree(this.#needs.syscalls(), rootfs);
  }

  isInUse(): boolean {
    return false;
  }

  mayBeMounted(): boolean {
    return false;
  }

  ownDirectories(): readonly string[] {
    return [];
  }

  probe(prefix: () => string): BackendVerdict {
    if (isOverlayFormat(this.#needs.whiteouts) && this.#needs.syscalls().kind === 'native-free') {
      return {
        usable: false,
        reason: 'the marks of removed files in this store cannot be seen without native system calls',
        refusal: marksNeedNativeCalls(),
      };
    }
    const out = this.#needs.marks.outOfReach();
    if (out !== undefined) return marksVerdict(DEED, out);
    const usable: BackendVerdict = this.#needs.privileged
      ? { usable: true, reason: 'works everywhere' }
      : { usable: true, reason: 'works everywhere; without root it keeps no owners and no devices' };
    const tried = probeIn(prefix, (place) => ({ ...usable, ...caveatOf(place) }));
    // A directory in which nothing can be tried is told of when something is to be copied to it.
    return tried.usable ? tried : usable;
  }
}
