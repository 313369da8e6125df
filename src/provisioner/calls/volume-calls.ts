import { isInMemory, keptIn } from '../../backends/memory-place.js';
import type { Get } from '../../base/assembly.js';
import { systemCode } from '../../base/errors.js';
import { checkArgument, flag, listOf, optionsOf, type Rule, text } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import type { RootfsKey, VolumeRecord } from '../../metadata/metadata-manager.js';
import { rootfsGone, volumeNotFound } from '../../metadata/record-errors.js';
import { isVolumeName } from '../../paths.js';
import type { VolumeWish } from '../../volumes/volumes.js';
import type { OpenStore } from '../open-store.js';
import type { RemoveVolumeOptions, VolumesOptions } from '../options.js';
import * as o from '../options.js';
import { DIRECTORIES, POOL, VOLUMES } from '../services.js';
import type { Calls } from './calls.js';

/** A volume, as it is recorded. */
export interface VolumeInfo {
  readonly name: string;
  readonly owner: string;
  /** Its directory, absolute. Not there before it is made or first used. */
  readonly mountpoint: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly labels: Readonly<Record<string, string>>;
  /** The ids of those that have it, whether anything runs in them or not; sorted. */
  readonly containers: readonly string[];
  /** `new`: no container has been shown it yet that may write it, and the first one fills it. `removing`: its removal is under way, or was cut short. */
  readonly state: VolumeRecord['state'];
}

const NAME: Rule = {
  meant: 'the name of a volume: 1 to 255 letters, digits, and `_`, `.` and `-` after the first one',
  holds: (value) => typeof value === 'string' && isVolumeName(value),
  shown: true,
};
const USER = optionsOf<RootfsKey>({ containerId: text, id: text }, 'containerId', 'id');
const LABELS: Rule = {
  meant: 'an object whose values are texts',
  holds: (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => typeof one === 'string'),
};
const FROM: Rule = {
  meant: 'an absolute path',
  holds: (value) => typeof value === 'string' && value.startsWith('/'),
};
const WISHES = listOf(optionsOf<VolumeWish>({ name: NAME, readOnly: flag, from: FROM }, 'name', 'readOnly'));

/** Directories with names, which outlive the containers that have them. */
export class VolumeCalls {
  readonly #store: OpenStore;
  readonly #get: Get<OpenStore>;
  readonly #calls: Calls;

  constructor(store: OpenStore, get: Get<OpenStore>, calls: Calls) {
    this.#store = store;
    this.#get = get;
    this.#calls = calls;
  }

  /**
   * Makes one; one of that name that is there stays as it is, its labels too.
   * @param labels notes for whoever looks at it
   * @throws `ERR_BAD_OPTION` for what is no name of a volume, `ERR_VOLUME_FOREIGN` where it is there, and another owner's
   */
  async create(name: string, labels: Readonly<Record<string, string>> = {}): Promise<VolumeInfo> {
    return this.#calls.writing('make a volume', async () => {
      checkArgument('volumes.create', 'name', NAME, name);
      checkArgument('volumes.create', 'labels', LABELS, labels);
      return this.#infoOf(await (await this.#get(VOLUMES)).create(name, labels));
    });
  }

  /** Those of all owners, sorted by name. */
  async list(options: VolumesOptions = {}): Promise<VolumeInfo[]> {
    return this.#calls.looking(async () => {
      const { owner } = takeOptions('volumes.list', o.VOLUMES_OPTIONS, options);
      const all = await this.#store.metadata.listVolumes();
      return all
        .filter((volume) => owner === undefined || volume.owner === owner)
        .map((volume) => this.#infoOf(volume));
    });
  }

  /** Undefined when there is none of that name. */
  async get(name: string): Promise<VolumeInfo | undefined> {
    return this.#calls.looking(async () => {
      checkArgument('volumes.get', 'name', NAME, name);
      const volume = await this.#store.metadata.getVolume(name);
      return volume && this.#infoOf(volume);
    });
  }

  /** What it takes on disk, in bytes as `du` counts them. @throws `ERR_VOLUME_NOT_FOUND` */
  async measure(name: string): Promise<number> {
    return this.#calls.looking(async () => {
      checkArgument('volumes.measure', 'name', NAME, name);
      if ((await this.#store.metadata.getVolume(name)) === undefined) throw volumeNotFound(name);
      try {
        const path = this.#store.paths.volume(name);
        return (await this.#get(POOL).run('measure-tree', { path, skipUnreadable: true })).bytes;
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return 0;
        throw error;
      }
    });
  }

  /**
   * Removes one with all that is in it. Its space comes back with the sweep.
   * @throws `ERR_VOLUME_NOT_FOUND`, `ERR_VOLUME_IN_USE` while a container has it, `ERR_VOLUME_FOREIGN` where it is another owner's, `ERR_LOCK_TIMEOUT`, `ERR_ABORTED`
   */
  async remove(name: string, options: RemoveVolumeOptions = {}): Promise<void> {
    return this.#calls.freeing('remove a volume', async () => {
      checkArgument('volumes.remove', 'name', NAME, name);
      const { anyOwner = false, signal } = takeOptions('volumes.remove', o.REMOVE_VOLUME_OPTIONS, options);
      await (await this.#get(VOLUMES)).remove(name, anyOwner, signal);
    });
  }

  /**
   * For what runs containers: records that a root filesystem has volumes, makes those that are missing, and fills those that are new with what the wish says. It has them until it is destroyed.
   * @returns their directories, absolute, in the order of the wishes
   * @throws `ERR_CONTAINER_GONE` when there is no such root filesystem any more, `ERR_VOLUME_FOREIGN`, `ERR_STORE_DAMAGED`, `ERR_NO_SPACE`, `ERR_LOCK_TIMEOUT`, `ERR_ABORTED`
   */
  async use(user: RootfsKey, wishes: readonly VolumeWish[], signal?: AbortSignal): Promise<string[]> {
    return this.#calls.writing('use a volume', async () => {
      checkArgument('volumes.use', 'user', USER, user);
      checkArgument('volumes.use', 'wishes', WISHES, wishes);
      return (await this.#get(VOLUMES)).use(user, wishes, signal);
    });
  }

  /**
   * For what runs containers: the volume without a name that a root filesystem has at a target, made and filled when it is first asked for. It goes with the root filesystem.
   * @param target in the container, which tells it from the others @param from as of a wish
   * @returns its directory, absolute @throws as `use`
   */
  async anonymous(user: RootfsKey, target: string, from?: string, signal?: AbortSignal): Promise<string> {
    return this.#calls.writing('use a volume', async () => {
      checkArgument('volumes.anonymous', 'user', USER, user);
      checkArgument('volumes.anonymous', 'target', text, target);
      if (from !== undefined) checkArgument('volumes.anonymous', 'from', FROM, from);
      const rootfses = await this.#store.metadata.rootfsesIn(user.containerId);
      const rootfs = rootfses.find(({ id, containerId }) => id === user.id && containerId === user.containerId);
      if (rootfs === undefined) throw rootfsGone(user.id);
      const scratch = this.#get(DIRECTORIES).scratch(rootfs);
      const kept = { path: keptIn(scratch), isInMemory: isInMemory(scratch) };
      return (await this.#get(VOLUMES)).anonymous(kept, target, from, signal);
    });
  }

  #infoOf({ name, owner, createdAt, labels, containers, state }: VolumeRecord): VolumeInfo {
    return { name, owner, mountpoint: this.#store.paths.volume(name), createdAt, labels, containers, state };
  }
}
