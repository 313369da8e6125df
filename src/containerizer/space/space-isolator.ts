import { existsSync, lstatSync, renameSync } from 'node:fs';
import { crashPoint } from '../../base/crash-points.js';
import { ProvisionerError, systemCode } from '../../base/errors.js';
import { writeOwnFile } from '../../base/own-files.js';
import type { Provisioner } from '../../index.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import { OWN_FILE_NAMES } from '../bundle/make-bundle.js';
import { checkDiskBytes } from '../cgroups/limits/check-limits.js';
import type { AttendedContainer, IsolatedLaunch, IsolatedSpec, Isolator } from '../isolators/isolator.js';
import type { LaunchLimits } from '../launch-spec.js';
import { readSpec } from '../launches/kept/kept-spec.js';
import { LaunchDirectory } from '../launches/kept/launch-directory.js';
import { unavailable } from '../rootfs-of.js';
import { countSpace } from './count-space.js';
import { measureDeleted } from './deleted-files.js';
import { Projects, type RootfsKey } from './projects.js';
import { readSpaceNote, writeSpaceNote } from './space-note.js';

const MORE_THAN_USED = 'give it more than is in use, or remove files first';

type MeasureOptions = Parameters<Provisioner['containers']['measure']>[1];

/** What stat(2) counts blocks in. */
const BLOCK = 512;
/** What such a file may take and does not count: it has names in it before its program runs. */
const OWN_FILE_BYTES = 64 * 1024;

/**
 * Keeps containers to limits of the disk space that they take: what is written to the root filesystem, to volumes without a name, and to the files that each has of its own in `/etc`; not to volumes with a name, nor to binds.
 *
 * | the store's file system | so | whoever writes more |
 * |---|---|---|
 * | keeps to project quotas | it is told the limit | gets an error, and goes on |
 * | is left out: what is written goes to a tmpfs of that size | so | gets an error, and goes on |
 * | does not | each process that watches the launch counts, one at a time | is killed, when somebody looks; nobody looks where nobody watches |
 *
 * A limit belongs to the root filesystem, not to the launch: there is nothing to give back before that is gone.
 */
export class SpaceIsolator implements Isolator {
  readonly #provisioner: Provisioner;
  readonly #syscalls: Syscalls;
  readonly #projects: Projects;

  constructor(provisioner: Provisioner, syscalls: Syscalls, calls: () => TreeCalls, bootId: string) {
    this.#provisioner = provisioner;
    this.#syscalls = syscalls;
    const { holdings, root: directory } = provisioner;
    this.#projects = new Projects({ directory, bootId, holdings, syscalls, calls });
  }

  async prepare(
    launch: IsolatedLaunch,
    isolated: IsolatedSpec,
    signal: AbortSignal | undefined,
  ): Promise<IsolatedSpec> {
    const { spec, root } = isolated;
    const bytes = spec.limits?.diskBytes;
    if (bytes === undefined) return isolated;
    const { containers } = this.#provisioner;
    const rootfs = { containerId: launch.containerId, id: root.id };
    const directory = this.#directory(launch.id);
    // Whoever has provisioned it may have said so.
    if (spec.limits?.diskOn === 'memory' || (await containers.memory(rootfs)) !== undefined) {
      await this.#fitMemory(rootfs, bytes);
      writeSpaceNote(directory, { by: 'memory', base: 0 });
      return { ...isolated, diskLimit: { by: 'memory' } };
    }
    const known = readSpaceNote(directory)?.base;
    const places = await containers.written(rootfs);
    const kept = await this.#projects.limit(rootfs, places, { bytes, base: known }, signal);
    if ('base' in kept) {
      writeSpaceNote(directory, { by: 'quota', base: kept.base });
      return { ...isolated, diskLimit: { by: 'quota' } };
    }
    const used = await containers.measure(rootfs, { signal });
    const base = known ?? used;
    // It would be killed at once, and again.
    if (used - base > bytes) throw tooMuch(launch.containerId, used - base, bytes);
    writeSpaceNote(directory, { by: 'counting', base });
    // Whoever has filled the disk by then leaves no room to make them.
    for (const file of [directory.spaceLock, directory.withinLimit]) writeOwnFile(file, '');
    return { ...isolated, diskLimit: { by: 'counting', reason: kept.reason } };
  }

  async bundled({ id, containerId }: IsolatedLaunch, { diskLimit, root }: IsolatedSpec): Promise<void> {
    if (diskLimit?.by !== 'quota') return;
    const { bundle } = this.#directory(id);
    await this.#projects.giveFiles({ containerId, id: root.id }, bundle, Object.values(OWN_FILE_NAMES));
  }

  async update(launch: IsolatedLaunch, { diskBytes }: LaunchLimits, change: () => Promise<void>): Promise<void> {
    if (diskBytes === undefined) return change();
    checkDiskBytes(diskBytes);
    const directory = this.#directory(launch.id);
    const note = readSpaceNote(directory);
    if (note === undefined) {
      throw notChanged(launch, 'it was launched without one', 'launch it anew, with a limit of disk space');
    }
    const { root, options } = readSpec(directory, launch.containerId);
    const rootfs = { containerId: launch.containerId, id: root.id };
    if (note.by === 'memory') {
      await this.#updateMemory(launch, rootfs, { to: diskBytes, from: options.limits?.diskBytes }, change);
      return this.#requireSame(launch);
    }
    const held = note.by === 'quota' ? await this.#projects.of(rootfs) : undefined;
    const taken = held ? this.#projects.used(held) : await this.#measure(rootfs, directory);
    const used = taken - note.base;
    if (used > diskBytes) {
      throw notChanged(launch, `${used} bytes are in use`, MORE_THAN_USED);
    }
    if (held) this.#projects.change(held, note.base + diskBytes);
    try {
      await change();
    } catch (error) {
      if (held) this.#projects.change(held, note.base + (options.limits?.diskBytes ?? diskBytes));
      throw error;
    }
    // Whoever found that it was over the limit before has died since.
    moveIfThere(directory.overLimit, directory.withinLimit);
    await this.#requireSame(launch);
  }

  /** What had ended, and begins anew by then, goes by what it was told before. */
  async #requireSame(launch: IsolatedLaunch): Promise<void> {
    const now = await this.#provisioner.launches.get(launch.containerId);
    if (now !== undefined && now.id !== launch.id)
      throw notChanged(launch, 'it was started meanwhile', 'change it once more');
  }

  /** What it was told last may not have been done, where somebody died in between. */
  async #fitMemory(rootfs: RootfsKey, bytes: number): Promise<void> {
    const { containers } = this.#provisioner;
    const memory = await containers.memory(rootfs);
    // One that was copied by a release that knows of none has no limit: it is not to be told that there is one.
    if (memory === undefined) throw unavailable(rootfs.containerId, 'it is not in memory', 'launch it anew');
    if (!(await containers.resizeMemory(rootfs, bytes)))
      throw tooMuch(rootfs.containerId, memory.used, bytes, 'that does not fit');
  }

  async #updateMemory(
    launch: IsolatedLaunch,
    rootfs: RootfsKey,
    { to, from }: { readonly to: number; readonly from: number | undefined },
    change: () => Promise<void>,
  ): Promise<void> {
    const { containers } = this.#provisioner;
    const memory = await containers.memory(rootfs);
    if (memory === undefined) throw notChanged(launch, 'what it had in memory is gone', 'launch it anew');
    if (!(await containers.resizeMemory(rootfs, to)))
      throw notChanged(launch, `${memory.used} bytes are in use`, MORE_THAN_USED);
    crashPoint('space.resized');
    try {
      await change();
    } catch (error) {
      await containers.resizeMemory(rootfs, from ?? memory.bytes);
      throw error;
    }
  }

  async attend({ id, containerId }: IsolatedLaunch, over: AbortSignal, container: AttendedContainer): Promise<void> {
    const directory = this.#directory(id);
    const note = readSpaceNote(directory);
    if (note?.by !== 'counting') return;
    const spec = () => readSpec(directory, containerId);
    const rootfs = { containerId, id: spec().root.id };
    const counting = {
      hold: () => this.#hold(directory),
      measure: async (signal: AbortSignal, onStart: () => void) =>
        (await this.#measure(rootfs, directory, { signal, onStart })) +
        // Of its root filesystem and its volumes without a name: the mounts of these say whose they are.
        (await measureDeleted(container.processes(), (mount) => mount.includes(rootfs.id), signal)),
      limit: () => {
        const bytes = spec().options.limits?.diskBytes;
        return bytes === undefined ? undefined : note.base + bytes;
      },
      isNoted: () => existsSync(directory.overLimit),
      note: () => {
        if (!moveIfThere(directory.withinLimit, directory.overLimit)) writeOwnFile(directory.overLimit, '');
      },
      end: () => container.end(),
    };
    await countSpace(counting, over);
  }

  /** Of what has been launched: what it has in its `/etc` too. */
  async #measure(rootfs: RootfsKey, { ownFiles }: LaunchDirectory, options?: MeasureOptions): Promise<number> {
    const written = await this.#provisioner.containers.measure(rootfs, options);
    return ownFiles.reduce((bytes, path) => bytes + diskOf(path), written);
  }

  /** One process at a time counts. @returns undefined while another one does */
  #hold({ spaceLock }: LaunchDirectory) {
    try {
      const lock = this.#syscalls.openLockFile(spaceLock);
      if (lock.tryLock('exclusive')) return lock;
      lock.close();
    } catch {
      // Removed meanwhile, or no descriptor is left.
    }
    return undefined;
  }

  async cleanUp({ containerId }: IsolatedLaunch): Promise<void> {
    await this.#projects.takeBack((rootfs) => this.#isThere(rootfs), containerId);
  }

  /** A root filesystem is recorded before it has anything, and is looked for only when it is known what it has. */
  async recover(): Promise<string[]> {
    return this.#projects.takeBack((rootfs) => this.#isThere(rootfs));
  }

  async close(): Promise<void> {}

  async #isThere({ containerId, id }: RootfsKey): Promise<boolean> {
    const container = await this.#provisioner.containers.get(containerId);
    return container?.rootfses.some((rootfs) => rootfs.id === id) ?? false;
  }

  #directory(launchId: string): LaunchDirectory {
    return new LaunchDirectory(this.#provisioner.launches.directory(launchId));
  }
}

/** Bytes that a file of a bundle takes, beyond what it may have been made with. */
function diskOf(path: string): number {
  const { blocks = 0 } = lstatSync(path, { throwIfNoEntry: false }) ?? {};
  return Math.max(0, blocks * BLOCK - OWN_FILE_BYTES);
}

/** @returns false where it is not there */
function moveIfThere(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** @param why it cannot be started, as a clause */
function tooMuch(
  containerId: string,
  used: number,
  limit: number,
  why = 'it would be ended at once',
): ProvisionerError {
  return new ProvisionerError(
    'ERR_DISK_LIMIT',
    `container ${containerId} has written ${used} bytes, and its limit of disk space is ${limit}: ${why}`,
    {
      hint: 'give it more: `provisioner update --storage-opt size=…`; or remove files of it (`containers.files` of the library)',
      details: { containerId, used, limit },
    },
  );
}

function notChanged({ containerId }: IsolatedLaunch, reason: string, hint: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_LIMIT_UPDATE',
    `diskBytes of container ${containerId} cannot be changed: ${reason}`,
    {
      hint,
      details: { limit: 'diskBytes', containerId, reason },
    },
  );
}
