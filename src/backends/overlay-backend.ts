import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ProvisionerError, systemCode } from '../base/errors.js';
import { copyDirectoryAttributes } from '../files/tree/copying/copy-directory-attributes.js';
import { type Marks, markOpaque } from '../files/tree/marks.js';
import { isOverlayFormat, type OverlayFormat, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import { letGo } from '../mounts/let-go.js';
import { memoryPlace } from '../paths.js';
import { toBytePath } from '../system/syscalls/byte-path.js';
import { loadTreeCalls } from '../system/syscalls/load-tree-calls.js';
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
import { isInMemory, isMemoryGone, keptIn, makeMemoryPlace } from './memory-place.js';
import { probeIn } from './probe.js';

/** What the kernel stacks at most. @see fs/overlayfs/params.h, OVL_MAX_STACK */
const LAYERS_MAX = 500;

/**
 * Mounts the layers with overlayfs: a rootfs in a fraction of a millisecond, whatever its size, that shares its layers' page cache. Changes
 * go to the scratch directory's `upper`, or to one in memory.
 *
 * | needs                                             | else                                    |
 * |---------------------------------------------------|-----------------------------------------|
 * | Linux, the right to mount                         | the probe says so                       |
 * | a store whose layers have whiteouts overlay reads | the probe says so                       |
 * | a store on a file system that can be upper        | the probe mount fails with its reason   |
 * | at most 500 different layers                      | `ERR_BACKEND_LIMIT`                     |
 */
export class OverlayBackend implements Backend {
  readonly name = 'overlay';
  readonly mounts = true;
  readonly keepsInMemory = true;
  readonly #syscalls: () => Syscalls;
  readonly #format: WhiteoutFormat;
  readonly #marks: Pick<Marks, 'outOfReach'>;

  /** @param marks of a store of this format */
  constructor(syscalls: () => Syscalls, format: WhiteoutFormat, marks: Pick<Marks, 'outOfReach'>) {
    this.#syscalls = syscalls;
    this.#format = format;
    this.#marks = marks;
  }

  describe(layers: readonly StackedLayer[], scratch: string): DescriptionOf<'overlay'> {
    const stack = effectiveStack(layers);
    if (stack.length > LAYERS_MAX) {
      throw new ProvisionerError(
        'ERR_BACKEND_LIMIT',
        `overlay stacks at most ${LAYERS_MAX} layers, the image has ${stack.length}`,
        {
          hint: 'provision it with --backend copy',
          details: { layers: stack.length, limit: LAYERS_MAX },
        },
      );
    }
    return this.#description(
      stack.map((layer) => layer.rootfs),
      directoriesIn(scratch),
    );
  }

  async provision(request: RootfsRequest): Promise<void> {
    this.layOut(request.scratch, request.inMemoryBytes);
    const { upper } = directoriesIn(request.scratch);
    // The root of an overlay is its upper directory, so what the layers say about the root is said there.
    copyDirectoryAttributes(request.rootAttributes, upper, loadTreeCalls(this.#syscalls()), true);
    await this.restore(request);
  }

  async restore(request: RootfsRequest): Promise<void> {
    if (isMemoryGone(request.scratch)) throw memoryGone(request.rootfs);
    const mount = { ...this.describe(request.layers, request.scratch), target: request.rootfs };
    if (request.aside) await this.#syscalls().mountOverlayAside(mount);
    else this.#syscalls().mountOverlay(mount);
  }

  layOut(scratch: string, inMemoryBytes: number | undefined): void {
    if (inMemoryBytes !== undefined) {
      makeMemoryPlace(this.#syscalls(), scratch, inMemoryBytes, this.#format === 'user');
    }
    const { upper, work } = directoriesIn(scratch);
    mkdirSync(upper);
    mkdirSync(work);
  }

  writtenIn(_rootfs: string, scratch: string): string {
    return directoriesIn(scratch).upper;
  }

  async destroy(rootfs: string, aside: boolean): Promise<void> {
    await letGo(this.#syscalls(), rootfs, aside);
  }

  async letGoOfMemory(scratch: string, aside: boolean): Promise<void> {
    if (!isInMemory(scratch)) return;
    const place = memoryPlace(scratch);
    await letGo(this.#syscalls(), place, aside);
  }

  isInUse(scratch: string): boolean | undefined {
    // What cannot be seen here cannot be mounted a second time, nor deleted beneath anybody.
    if (isMemoryGone(scratch)) return false;
    const { upper, work } = directoriesIn(scratch);
    try {
      return this.#syscalls().isOverlayInUse({ upper, work, userXattr: this.#format === 'user' });
    } catch (error) {
      // Both are made before the first mount, and the upper one is the first to go: where one is missing, nothing is mounted, or nothing is left to break.
      if (systemCode(error) === 'ENOENT') return false;
      throw error;
    }
  }

  mayBeMounted(scratch: string): boolean {
    return isMemoryGone(scratch) || this.isInUse(scratch) !== false;
  }

  ownDirectories(scratch: string): readonly string[] {
    if (isInMemory(scratch)) return [memoryPlace(scratch)];
    const { upper, work } = directoriesIn(scratch);
    // The kernel makes a directory of its own in the work directory, and leaves it there.
    return [upper, `${work}/work`, work];
  }

  /**
   * Mounts two layers of which one hides a file and the content of a directory of the other, writes, deletes, and lists: what a rootfs is about to do. What is
   * gone must not be listed either: where a file system does not say of what type the entries of a directory are, overlay takes its own whiteouts for files.
   */
  probe(prefix: () => string): BackendVerdict {
    const format = this.#format;
    if (!isOverlayFormat(format)) {
      return {
        usable: false,
        reason:
          'the layers of this store have no whiteouts that overlay reads (where it was made, it could not have them)',
      };
    }
    // An overlay that may not see the marks mounts all the same, and ignores them.
    const out = this.#marks.outOfReach();
    if (out !== undefined) return marksVerdict('mount the layers of this store', out);
    return probeIn(prefix, (place) => this.#tryIn(place, format));
  }

  #tryIn(place: string, format: OverlayFormat): BackendVerdict {
    const [lower, middle] = [join(place, 'lower'), join(place, 'middle')];
    const [upper, work, target] = [join(place, 'upper'), join(place, 'work'), join(place, 'target')];
    for (const directory of [lower, middle, upper, work, target]) mkdirSync(directory);
    writeFileSync(join(lower, 'hidden'), 'x');
    for (const name of ['seen', 'removed']) writeFileSync(join(lower, name), 'x');
    for (const layer of [lower, middle]) mkdirSync(join(layer, 'replaced'));
    writeFileSync(join(lower, 'replaced', 'old'), 'x');
    writeFileSync(join(middle, 'replaced', 'new'), 'x');
    markOpaque(join(middle, 'replaced'), format, this.#syscalls());
    this.#syscalls().makeNode(toBytePath(join(middle, 'hidden')), 0o020000, { major: 0, minor: 0 });
    this.#syscalls().mountOverlay({ ...this.#description([lower, middle], { upper, work }), target });
    try {
      writeFileSync(join(target, 'written'), 'x');
      rmSync(join(target, 'removed'));
      const listed = readdirSync(target).toSorted().join();
      if (listed !== 'replaced,seen,written') return { usable: false, reason: whyListed(listed) };
      const works =
        readFileSync(join(target, 'seen'), 'utf8') === 'x' && readdirSync(join(target, 'replaced')).join() === 'new';
      return works
        ? { usable: true, reason: 'a probe mount worked' }
        : { usable: false, reason: 'a probe mount did not show what it should' };
    } finally {
      this.#syscalls().detachMount(target);
    }
  }

  /** @param layers directories, bottom first */
  #description(layers: readonly string[], { upper, work }: Directories): DescriptionOf<'overlay'> {
    return { type: 'overlay', lower: layers.toReversed(), upper, work, userXattr: this.#format === 'user' };
  }
}

/** What overlay keeps of a rootfs: what was changed in it, and what is being changed. */
interface Directories {
  readonly upper: string;
  readonly work: string;
}

function directoriesIn(scratch: string): Directories {
  // `join` would take a part of what a mount takes.
  const kept = keptIn(scratch);
  return { upper: `${kept}/upper`, work: `${kept}/work` };
}

function memoryGone(rootfs: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_ROOTFS_UNAVAILABLE',
    `what was written to the root filesystem at ${rootfs} was kept in memory, and is gone, or not to be seen from here`,
    { hint: 'destroy its container, and launch it anew', details: { rootfs } },
  );
}

/** @see https://docs.kernel.org/filesystems/overlayfs.html, "Upper and Lower": "must provide valid d_type in readdir responses" */
function whyListed(names: string): string {
  if (!/hidden|removed/.test(names)) return 'a probe mount did not list what it should';
  return 'a probe mount lists removed files: the file system of the store does not tell types of directory entries (d_type), as ext4 made with `-O ^filetype` and xfs made with `-n ftype=0` do not';
}
