import { closeSync, openSync } from 'node:fs';
import { isProvisionerError, ProvisionerError, systemCode } from '../../base/errors.js';
import { isPlanted } from '../../base/foreign-file.js';
import { readStoredConfig, runtimeConfig } from '../../image/image-config.js';
import type { LaunchRecord, RootfsInfo } from '../../index.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import { resolveUser } from '../bundle/rootfs/resolve-user.js';
import { RootfsView } from '../bundle/rootfs/rootfs-view.js';
import type { RuntimeSpecConfig } from '../bundle/runtime-spec.js';
import { isUp } from '../launches/controls.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';
import { readPlaceNote } from '../launches/kept/launch-notes.js';
import type { Machine } from '../machine.js';
import { readOrEmpty } from '../read-or-empty.js';
import { rootfsOf, unavailable, unmounted } from '../rootfs-of.js';
import type { Owner } from './archives/extract-tree.js';
import { planted, shownPath } from './files-errors.js';
import { MountedDirectory } from './mounts/mounted-directory.js';
import { recordedMounts } from './mounts/recorded-mounts.js';

/** A tree that files are copied from or to, held open: of a container, or this machine's. */
export interface OpenRoot {
  readonly view: RootfsView;
  /** How messages call a path in it. */
  shown(path: BytePath): string;
  /** Whose what is made there is, where nothing else is said. @throws ProvisionerError `ERR_USER_UNKNOWN` */
  user(): Promise<Owner>;
  close(): void;
}

interface OpenView {
  readonly view: RootfsView;
  readonly close: () => void;
}

export interface OpenRootOptions {
  /** Something is to be changed. */
  readonly write?: boolean;
  readonly anyOwner?: boolean | undefined;
  /** The root filesystem itself, also while the program runs. */
  readonly withoutMounts?: boolean;
}

/** What the records and launches of a store say of containers. */
export interface KnownContainers {
  /** As it is now. */
  launch(containerId: string): Promise<LaunchRecord | undefined>;
  directory(launchId: string): LaunchDirectory;
  /** @throws ProvisionerError `ERR_CONTAINER_FOREIGN` */
  requireOwn(containerId: string, owner: string, anyOwner: boolean | undefined): void;
}

/** This machine's own tree. We follow symlinks ourselves, so the kernel does not see which ones it would not have followed. @see proc_sys_fs(5), "protected_symlinks" */
export function machineRoot(calls: TreeCalls): OpenRoot {
  const view = new RootfsView(calls, '/', (directory, name, { uid }) => {
    if (isPlanted(uid, directory)) throw planted(name, uid);
  });
  return {
    view,
    shown: (path) => shownPath(undefined, path),
    user: async () => ({ uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }),
    close: () => view.close(),
  };
}

/**
 * Opens the roots of containers. While a program runs, its root is taken from the program itself (`/proc/PID/root`): that way lead the mounts that only its namespace has. It is
 * made sure that the process is the one that was launched, that its namespace stays as long as it is looked at, and that its root is still the container's: a program may give itself another one (chroot), even a
 * directory of this machine that somebody has handed it open.
 */
export class ContainerRoots {
  readonly #machine: Machine;
  readonly #calls: TreeCalls;
  readonly #known: KnownContainers;

  constructor(machine: Machine, calls: TreeCalls, known: KnownContainers) {
    this.#machine = machine;
    this.#calls = calls;
    this.#known = known;
  }

  async open(
    containerId: string,
    { write = false, anyOwner, withoutMounts = false }: OpenRootOptions,
  ): Promise<OpenRoot> {
    const { provisioner } = this.#machine;
    const launch = await this.#known.launch(containerId);
    const container = await provisioner.containers.get(containerId);
    const owner = launch?.owner ?? container?.owner;
    if (owner === undefined) throw notFound(containerId);
    if (write) this.#known.requireOwn(containerId, owner, anyOwner);
    const config = launch === undefined ? undefined : this.#configOf(launch);
    const rootfs = rootfsOf(containerId, container, config?.root.path);
    const stored = this.#openStored(containerId, rootfs);
    const running = launch === undefined || withoutMounts ? undefined : this.#openOfProgram(launch, stored);
    if (running !== undefined) stored.close();
    const { view, close } = running ?? this.#openAtRest(containerId, stored, withoutMounts ? undefined : config);
    return {
      view,
      shown: (path) => shownPath(containerId, path),
      user: () => this.#userOf(rootfs, config, view),
      close,
    };
  }

  /** A mount that is not there any more would show an empty directory. */
  #openStored(containerId: string, { rootfs, mountState }: RootfsInfo): RootfsView {
    let view: RootfsView;
    try {
      view = new RootfsView(this.#calls, rootfs);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      throw unavailable(containerId, 'it is not there any more', 'recover the store: `provisioner recover`', error);
    }
    if (mountState === undefined || view.isMountPoint !== false) return view;
    view.close();
    throw unmounted(containerId);
  }

  /** While no program runs: with what was mounted for the last one, since that is what the next one sees. */
  #openAtRest(containerId: string, stored: RootfsView, config: RuntimeSpecConfig | undefined): OpenView {
    if (config === undefined) return { view: stored, close: () => stored.close() };
    const tree = { calls: this.#calls, containerId, mounts: recordedMounts(config) };
    const root = MountedDirectory.root(stored.hold('/').directory, tree, config.root.readonly);
    stored.close();
    const view = new RootfsView(this.#calls, root);
    return { view, close: () => view.close() };
  }

  /** @returns undefined when the program does not run */
  #openOfProgram(launch: LaunchRecord, stored: RootfsView): OpenView | undefined {
    const { pid, startTicks } = readPlaceNote(launch.place) ?? {};
    if (!isUp(launch) || pid === undefined || startTicks === undefined) return undefined;
    const program = this.#machine.processes.open(pid, BigInt(startTicks));
    if (program === undefined) return undefined;
    let namespace: number | undefined;
    let view: RootfsView | undefined;
    const close = () => {
      view?.close();
      if (namespace !== undefined) closeSync(namespace);
    };
    try {
      // With the last process a namespace would go too, and a path that led into a volume would lead to what lies below it.
      namespace = openSync(`/proc/${pid}/ns/mnt`, 'r');
      view = new RootfsView(this.#calls, `/proc/${pid}/root/.`);
      if (program.hasEnded()) {
        close();
        return undefined;
      }
      if (view.identity !== stored.identity) throw otherRoot(launch.containerId);
      return { view, close };
    } catch (error) {
      close();
      if (systemCode(error) !== 'ENOENT' && systemCode(error) !== 'ESRCH') throw error;
      return undefined;
    } finally {
      program.close();
    }
  }

  #configOf({ id }: LaunchRecord): RuntimeSpecConfig | undefined {
    const text = readOrEmpty(this.#known.directory(id).config);
    return text === '' ? undefined : (JSON.parse(text) as RuntimeSpecConfig);
  }

  /** As its program runs, or would. */
  async #userOf({ image }: RootfsInfo, config: RuntimeSpecConfig | undefined, view: RootfsView): Promise<Owner> {
    if (config !== undefined) return config.process.user;
    try {
      const { config: text } = await this.#machine.provisioner.images.get(image);
      return resolveUser(view, runtimeConfig(readStoredConfig(text)).user);
    } catch (error) {
      // The image has been removed since.
      if (isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND')) return { uid: 0, gid: 0 };
      throw error;
    }
  }
}

function notFound(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_NOT_FOUND', `there is no container ${containerId}`, {
    hint: '`provisioner ps` lists the containers',
    details: { containerId },
  });
}

function otherRoot(containerId: string): ProvisionerError {
  return unavailable(
    containerId,
    'its program has given itself another root directory (chroot)',
    'copy from inside: `provisioner exec ID tar …`',
  );
}
