import { isInMemory, type MemoryUse, memoryUse, resizeMemory } from '../../backends/memory-place.js';
import type { Get } from '../../base/assembly.js';
import { callback, checkArgument, methods, optionsOf, text } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import { unhurried } from '../../base/unhurried.js';
import { checkContainerId } from '../../containers/container-id.js';
import { type ContainerInfo, containerInfo } from '../../containers/container-info.js';
import { IN_MEMORY_BYTES } from '../../containers/container-options.js';
import type { ContainerHolder } from '../../containers/holders.js';
import type { RootfsPlace } from '../../containers/rootfses/rootfs-place.js';
import { writtenPlaces } from '../../containers/rootfses/written-places.js';
import { RootfsMounts } from '../../layer-store/rootfs-mounts.js';
import type { RootfsKey } from '../../metadata/metadata-manager.js';
import { loadSyscalls } from '../../system/syscalls/load-syscalls.js';
import type { OpenStore } from '../open-store.js';
import type { ContainersOptions, MeasureOptions, TurnOptions } from '../options.js';
import * as o from '../options.js';
import { CONTAINERS, DIRECTORIES, GAP_WARNING, HOLDERS, POOL } from '../services.js';
import type { Calls } from './calls.js';

const ROOTFS_KEY = optionsOf<RootfsKey>({ containerId: text, id: text }, 'containerId', 'id');

/**
 * What a name takes of a file system, however little is in it: an inode, and its place in a directory; else who makes empty files takes all inodes, and has whoever counts them go round. On ext4 it is a quarter of
 * that for an inode, on xfs half, on btrfs and tmpfs about that much. Files with something in them mostly take a block, which is more.
 */
const LEAST_PER_NAME = 1024;

/** The containers of a store, as they are recorded and mounted. */
export class ContainerCalls {
  readonly #store: OpenStore;
  readonly #get: Get<OpenStore>;
  readonly #calls: Calls;

  constructor(store: OpenStore, get: Get<OpenStore>, calls: Calls) {
    this.#store = store;
    this.#get = get;
    this.#calls = calls;
  }

  /** The containers of all owners, or of one, sorted by id. */
  async list(options: ContainersOptions = {}): Promise<ContainerInfo[]> {
    return this.#calls.looking(async () => {
      const own = takeOptions('containers.list', o.CONTAINERS_OPTIONS, options);
      const { paths, metadata } = this.#store;
      const containers = await metadata.listContainers(own.owner);
      await this.#get(GAP_WARNING)();
      // After the records: what is recorded as a mount is mounted by then.
      const mounts = new RootfsMounts(paths);
      const infos: ContainerInfo[] = [];
      for await (const container of unhurried(containers)) {
        infos.push(await containerInfo(container, this.#get(DIRECTORIES), mounts));
      }
      return infos;
    });
  }

  /** One container, without those in it; undefined when there is none of that id. */
  async get(containerId: string): Promise<ContainerInfo | undefined> {
    return this.#calls.looking(async () => {
      checkArgument('containers.get', 'containerId', text, containerId);
      checkContainerId(containerId);
      const { paths, metadata } = this.#store;
      const container = await metadata.getContainer(containerId);
      if (container === undefined) {
        await this.#get(GAP_WARNING)();
        return undefined;
      }
      return containerInfo(container, this.#get(DIRECTORIES), new RootfsMounts(paths));
    });
  }

  /**
   * Containers in which it runs something are not destroyed by this provisioner unless told so, and count as known when it recovers. Other processes ask their own
   * holders. @returns takes it out again
   */
  addHolder(holder: ContainerHolder): () => void {
    this.#calls.requireOpen();
    checkArgument('containers.addHolder', 'holder', methods('running', 'end', 'held'), holder);
    return this.#get(HOLDERS).add(holder);
  }

  /**
   * Where all that is written to a root filesystem comes to lie, volumes without a name included: directories, absolute, of which none is in another. None for one that is not recorded any more.
   * Of one that was copied its copy is among them.
   */
  async written(rootfs: RootfsKey): Promise<string[]> {
    return this.#calls.looking(async () => {
      checkArgument('containers.written', 'rootfs', ROOTFS_KEY, rootfs);
      return this.#written(rootfs);
    });
  }

  /**
   * What these take on disk, in bytes as `du` counts them: each file once, and no more of a sparse one than is there; but each name with 1024 at least. What is in memory takes none: `memory` tells of that. Those who ask at once are answered one after the other.
   * @throws `ERR_ABORTED`
   */
  async measure(rootfs: RootfsKey, options: MeasureOptions = {}): Promise<number> {
    return this.#calls.looking(async () => {
      checkArgument('containers.measure', 'rootfs', ROOTFS_KEY, rootfs);
      const own = takeOptions('containers.measure', o.MEASURE_OPTIONS, options);
      const place = await this.#place(rootfs);
      const isOnDisk = place !== undefined && !isInMemory(this.#get(DIRECTORIES).scratch(place));
      const paths = isOnDisk ? writtenPlaces(this.#get(DIRECTORIES), place) : [];
      return this.#get(POOL).run('measure-written', { paths, leastPerName: LEAST_PER_NAME }, own);
    });
  }

  /**
   * What a root filesystem may have in memory, and has there, in bytes; undefined where what is written to it goes to disk, where what it had in memory is gone, and for one that is not recorded any more.
   */
  async memory(rootfs: RootfsKey): Promise<MemoryUse | undefined> {
    return this.#calls.looking(async () => {
      checkArgument('containers.memory', 'rootfs', ROOTFS_KEY, rootfs);
      const scratch = await this.#scratch(rootfs);
      return scratch === undefined ? undefined : memoryUse(scratch);
    });
  }

  /**
   * For what runs containers, and has asked whose this one is: changes how much a root filesystem may have in memory.
   * @returns false where it has more, or none @throws `ERR_PERMISSION`
   */
  async resizeMemory(rootfs: RootfsKey, bytes: number): Promise<boolean> {
    return this.#calls.writing('change the size of what a container has in memory', async () => {
      checkArgument('containers.resizeMemory', 'rootfs', ROOTFS_KEY, rootfs);
      checkArgument('containers.resizeMemory', 'bytes', IN_MEMORY_BYTES, bytes);
      const scratch = await this.#scratch(rootfs);
      return scratch !== undefined && resizeMemory(loadSyscalls(), scratch, bytes);
    });
  }

  async #written(rootfs: RootfsKey): Promise<string[]> {
    const place = await this.#place(rootfs);
    return place === undefined ? [] : writtenPlaces(this.#get(DIRECTORIES), place);
  }

  async #scratch(rootfs: RootfsKey): Promise<string | undefined> {
    const place = await this.#place(rootfs);
    return place && this.#get(DIRECTORIES).scratch(place);
  }

  async #place({ containerId, id }: RootfsKey): Promise<RootfsPlace | undefined> {
    checkContainerId(containerId);
    const rootfses = await this.#store.metadata.rootfsesIn(containerId);
    return rootfses.find((one) => one.id === id && one.containerId === containerId);
  }

  /**
   * Does work in the turn of a container: no provision or destroy of it, of one that it is nested in, or of one nested in it, is under way in this provisioner meanwhile. One that
   * is called from within waits for ever.
   */
  async inTurn<T>(containerId: string, work: () => Promise<T>, options: TurnOptions = {}): Promise<T> {
    return this.#calls.looking(async () => {
      checkArgument('containers.inTurn', 'containerId', text, containerId);
      checkArgument('containers.inTurn', 'work', callback, work);
      const own = takeOptions('containers.inTurn', o.TURN_OPTIONS, options);
      checkContainerId(containerId);
      return (await this.#get(CONTAINERS)).inTurn(containerId, work, own.signal);
    });
  }
}
