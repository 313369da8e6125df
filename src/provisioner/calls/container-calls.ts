import type { Get } from '../../base/assembly.js';
import { callback, checkArgument, methods, text } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import { unhurried } from '../../base/unhurried.js';
import { checkContainerId } from '../../containers/container-id.js';
import { type ContainerInfo, containerInfo } from '../../containers/container-info.js';
import type { ContainerHolder } from '../../containers/holders.js';
import { RootfsMounts } from '../../layer-store/rootfs-mounts.js';
import type { OpenStore } from '../open-store.js';
import type { ContainersOptions, TurnOptions } from '../options.js';
import * as o from '../options.js';
import { CONTAINERS, DIRECTORIES, GAP_WARNING, HOLDERS } from '../services.js';
import type { Calls } from './calls.js';

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
