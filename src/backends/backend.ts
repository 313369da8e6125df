import type { ProvisionerError } from '../base/errors.js';
import { type MarksOutOfReach, marksRefusal } from '../files/tree/marks.js';
import type { LayerRecord } from '../metadata/metadata-manager.js';
import type { OverlayMount } from '../system/syscalls/syscalls.js';

/** The kinds of backend there are, in the order in which they are told of. Which of them `auto` picks is for `Backends` to say. */
export const BACKEND_NAMES = ['overlay', 'copy', 'bind'] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

/** Whether rootfses of this backend are mounts: `Backend.mounts`, for those who have only the name of one, of whatever release. */
export function isMountedBackend(name: string): boolean {
  return name === 'overlay' || name === 'bind';
}

/** Whether rootfses of this backend show the files of their layers themselves; true as well of one of another release, of which nothing is known. */
export function mayShowLayers(name: string): boolean {
  return isMountedBackend(name) || !(BACKEND_NAMES as readonly string[]).includes(name);
}

/** A layer of a stack and where its files are. */
export interface StackedLayer extends LayerRecord {
  /** Absolute. */
  readonly rootfs: string;
}

/**
 * Puts layers together into a root filesystem.
 *
 * A rootfs begins as an empty directory with a scratch directory beside it, both made by the caller and used by nobody else. `provision` fills
 * or mounts it, and when that fails, or the process dies on the way, `destroy` takes apart whatever there is; the caller then removes the two directories.
 */
export interface Backend {
  readonly name: BackendName;
  /** Whether it makes a rootfs by mounting, within a millisecond, so that the store's lock can be held meanwhile; a mount ends with the machine. */
  readonly mounts: boolean;
  /**
   * Says how these layers would be shown, and makes nothing.
   * @param scratch of the rootfs
   * @throws ProvisionerError `ERR_BACKEND_LIMIT` for a stack that this backend cannot show
   */
  describe(layers: readonly StackedLayer[], scratch: string): RootfsDescription;
  /** @throws ProvisionerError as `describe`, `ERR_BACKEND_UNUSABLE`, `ERR_NO_SPACE`, … */
  provision(request: RootfsRequest): Promise<void>;
  /** Mounts a rootfs again, whose mount a reboot took, with what was changed in it. Nothing to do for a backend that does not mount. */
  restore(request: RootfsRequest): Promise<void>;
  /** Whether what is written to its rootfses can be kept in memory: `RootfsRequest.inMemoryBytes`. */
  readonly keepsInMemory: boolean;
  /** Makes the directories that `restore` needs in a scratch directory. @param inMemoryBytes as of a request */
  layOut(scratch: string, inMemoryBytes: number | undefined): void;
  /** The directory that keeps all that is written in a rootfs, and may be copied to that of another rootfs of the same layers; undefined where nothing can be written. */
  writtenIn(rootfs: string, scratch: string): string | undefined;
  /**
   * Lets go of what is mounted at the rootfs, and in it, by whomever, also while it is busy; and of nothing else. Harmless when nothing is. The rootfs
   * may be gone afterwards.
   * @param aside as in `RootfsRequest`
   */
  destroy(rootfs: string, aside: boolean): Promise<void>;
  /**
   * Lets go of what a rootfs has in memory, in whatever namespace it is mounted, once the rootfs itself is let go of. Who still works there goes on, and with the last of them it is gone. Harmless when there is nothing.
   * @param aside as in `RootfsRequest`
   */
  letGoOfMemory(scratch: string, aside: boolean): Promise<void>;
  /**
   * Whether a mount of whatever namespace writes to a scratch directory, so that another one on it would break both. Ask with the store's lock held alone.
   * @returns undefined when the kernel does not tell
   */
  isInUse(scratch: string): boolean | undefined;
  /** Whether a rootfs may be mounted in another namespace; true as well when that cannot be found out. Ask as `isInUse`. */
  mayBeMounted(scratch: string): boolean;
  /** The directories that `provision` makes in a scratch directory, what the kernel makes in them included, in the order in which they go where nothing was written. */
  ownDirectories(scratch: string): readonly string[];
  /** Tries whether it works in a directory that it makes, on the store's file system, and removes again. @param prefix of its path */
  probe(prefix: () => string): BackendVerdict;
}

export interface RootfsRequest {
  /** Bottom first, at least one; the same layer may stand in it more than once. */
  readonly layers: readonly StackedLayer[];
  /** The directory whose attributes the root gets: the root of the topmost layer that describes it. */
  readonly rootAttributes: string;
  readonly rootfs: string;
  readonly scratch: string;
  /** What is written goes to memory, and is so many bytes at most. Only where `keepsInMemory`. Default: it goes to the scratch directory, or into the rootfs. */
  readonly inMemoryBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Leave waiting for the kernel to another thread, because others are waiting for their turn. Default: false. */
  readonly aside?: boolean;
}

/** How a rootfs comes to what it shows: a mount, which somebody else may make as well; or a copy of directories, bottom first. Paths are absolute. */
export type RootfsDescription =
  | ({ readonly type: 'overlay' } & Omit<OverlayMount, 'target'>)
  | { readonly type: 'bind'; readonly source: string; readonly readOnly: true }
  | { readonly type: 'copy'; readonly layers: readonly string[] };

export type DescriptionOf<Type extends RootfsDescription['type']> = Extract<RootfsDescription, { readonly type: Type }>;

export interface BackendVerdict {
  readonly usable: boolean;
  /** Why or why not, as a clause: `a probe mount worked`. */
  readonly reason: string;
  /**
   * Why it could not be found out: the machine was short of something. Says nothing of the kernel and the file system, so it is asked again. Default: it was
   * found out, and stays so, since what these two can do does not change while they run.
   */
  readonly shortage?: unknown;
  /** What is told to whoever makes a rootfs with it, though it works: `nothing in it can be run …`. Default: nothing. */
  readonly caveat?: string;
  /** What is thrown when there is no other backend to turn to, and whose hint tells what to do. Default: none, its failure tells enough. */
  readonly refusal?: ProvisionerError;
}

/** That of a backend which would go by marks that this process cannot see. @param deed as an infinitive */
export function marksVerdict(deed: string, out: MarksOutOfReach): BackendVerdict {
  const { reason, shortage } = out;
  return shortage === undefined
    ? { usable: false, reason, refusal: marksRefusal(deed, out) }
    : { usable: false, reason, shortage };
}

/** See `RootfsRequest.rootAttributes`. @param layers at least one */
export function rootAttributesOf(layers: readonly StackedLayer[]): string {
  const root = layers.findLast((layer) => layer.describesRoot) ?? (layers[0] as StackedLayer);
  return root.rootfs;
}

/**
 * The layers that matter, bottom first: a layer that hides everything below is the lowest, and of a layer that stands in the stack more than
 * once only the topmost copy counts, since the lower ones are under it. The kernel refuses a directory that is there twice (ELOOP), and
 * ignores an opaque mark on a layer's root.
 */
export function effectiveStack(layers: readonly StackedLayer[]): StackedLayer[] {
  const stack: StackedLayer[] = [];
  const seen = new Set<string>();
  for (const layer of layers.toReversed()) {
    if (!seen.has(layer.id)) stack.unshift(layer);
    seen.add(layer.id);
    if (layer.opaqueRoot) break;
  }
  return stack;
}
