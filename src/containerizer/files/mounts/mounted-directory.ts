import { isProvisionerError, systemCode } from '../../../base/errors.js';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
import { type DeviceNumber, type FileTime, syscallError } from '../../../system/syscalls/syscalls.js';
import {
  type DirectoryCursor,
  type FileStatus,
  type FileUsage,
  type OpenDirectory,
  SYMLINK,
  type TreeCalls,
  type Xattrs,
} from '../../../system/syscalls/tree-calls.js';
import { below } from '../copy-place.js';
import { lostMount, missingSource, shownPath } from '../files-errors.js';
import type { RecordedMount, RecordedMounts } from './recorded-mounts.js';

/** The root filesystem of a container whose program does not run, and what was mounted in it. */
export interface MountedTree {
  readonly calls: TreeCalls;
  readonly containerId: string;
  readonly mounts: RecordedMounts;
}

/**
 * A directory of a container whose program does not run, looked at as if it did: what was mounted from this machine is where it was, by way of its source, and says that it is a mount point. What has gone
 * with the program (tmpfs), or is made up by the kernel, is an empty place that cannot be used: what lies below it in the root filesystem is seen by no start.
 *
 * All but looking at such a place itself throws `ERR_FILE_TYPE`; what needs a source that is not there any more `ERR_MOUNT_SOURCE`; writing where it was read-only `EROFS`.
 */
export class MountedDirectory implements OpenDirectory {
  readonly #own: OpenDirectory;
  readonly #path: BytePath;
  readonly #tree: MountedTree;
  readonly #isReadOnly: boolean;
  /** What was mounted here, or above, and is not to be had. */
  readonly #lost: LostMount | undefined;

  /** @param own is closed with this @param path in the container */
  private constructor(
    own: OpenDirectory,
    path: BytePath,
    tree: MountedTree,
    isReadOnly: boolean,
    lost: LostMount | undefined,
  ) {
    this.#own = own;
    this.#path = path;
    this.#tree = tree;
    this.#isReadOnly = isReadOnly;
    this.#lost = lost;
  }

  /** @param own the root of the stored tree, which is closed with this @param isReadOnly whether it, without its mounts, was read-only */
  static root(own: OpenDirectory, tree: MountedTree, isReadOnly: boolean): MountedDirectory {
    return new MountedDirectory(own, '/', tree, isReadOnly, undefined);
  }

  get lost(): LostMount['is'] | undefined {
    return this.#lost?.is;
  }

  /** @throws ProvisionerError `ERR_FILE_TYPE` for what is not to be had */
  requireContent(): void {
    if (this.#lost === undefined) return;
    throw lostMount(this.#tree.containerId, this.#lost.path, this.#lost.is);
  }

  cursor(position?: bigint): DirectoryCursor {
    this.requireContent();
    return this.#own.cursor(position);
  }
  status(name: BytePath): FileStatus {
    const mount = this.#mountAt(name);
    if (mount?.is !== 'bind') return this.#inside(name, mount).status(name);
    try {
      return this.#atSource(name, mount.source, (_directory, _name, status) => status);
    } catch (error) {
      // What it was mounted on tells of what kind it is. Whoever asks for more is told.
      if (!isProvisionerError(error, 'ERR_MOUNT_SOURCE')) throw error;
      return this.#own.status(name);
    }
  }
  usage(name: BytePath): FileUsage {
    const mount = this.#mountAt(name);
    const usage = this.#inside(name, mount).usage(name);
    return mount === undefined ? usage : { ...usage, mountPoint: true };
  }
  openDirectory(name: BytePath): MountedDirectory {
    const path = below(this.#path, name);
    const mount = this.#mountAt(name);
    if (mount?.is === 'bind') {
      const source = this.#atSource(name, mount.source, (directory, base) => directory.openDirectory(base));
      return new MountedDirectory(source, path, this.#tree, mount.isReadOnly, undefined);
    }
    const lost = mount === undefined ? this.#lost : { is: mount.is, path };
    return new MountedDirectory(
      this.#inside(name, mount).openDirectory(name),
      path,
      this.#tree,
      this.#isReadOnly,
      lost,
    );
  }
  /** Of a mount it would be elsewhere. */
  openParent(): OpenDirectory {
    throw syscallError('ENOTSUP', 'open', '..');
  }
  openFile(name: BytePath): number {
    return this.#openFile(name, (directory, base) => directory.openFile(base));
  }
  openRegularFile(name: BytePath): number {
    return this.#openFile(name, (directory, base) => directory.openRegularFile(base));
  }
  createFile(name: BytePath, mode: number): number {
    return this.#toChange().createFile(name, mode);
  }
  makeDirectory(name: BytePath): boolean {
    return this.#toChange().makeDirectory(name);
  }
  readSymlink(name: BytePath): BytePath {
    return this.#inside(name).readSymlink(name);
  }
  makeSymlink(target: BytePath, name: BytePath): void {
    this.#toChange().makeSymlink(target, name);
  }
  makeHardLink(existingIn: OpenDirectory, existing: BytePath, name: BytePath): void {
    this.#toChange().makeHardLink(MountedDirectory.#ownOf(existingIn), existing, name);
  }
  makeNode(name: BytePath, mode: number, device: DeviceNumber): void {
    this.#toChange().makeNode(name, mode, device);
  }
  setOwner(name: BytePath, uid: number, gid: number): void {
    this.#toChange().setOwner(name, uid, gid);
  }
  setMode(name: BytePath, mode: number): void {
    this.#toChange().setMode(name, mode);
  }
  setDirectoryMode(name: BytePath, mode: number): void {
    this.#toChange().setDirectoryMode(name, mode);
  }
  setNodeMode(name: BytePath, mode: number): void {
    this.#toChange().setNodeMode(name, mode);
  }
  makeSubvolumeWritable(): boolean {
    return this.#toChange().makeSubvolumeWritable();
  }
  makeMutable(name: BytePath): boolean {
    return this.#toChange().makeMutable(name);
  }
  giveToProject(name: BytePath, project: number): boolean {
    return this.#toChange().giveToProject(name, project);
  }
  setTimes(name: BytePath, accessed: FileTime, modified: FileTime): void {
    this.#toChange().setTimes(name, accessed, modified);
  }
  xattrs(name: BytePath): Xattrs {
    return this.#inside(name).xattrs(name);
  }
  rename(name: BytePath, to: OpenDirectory, newName: BytePath): void {
    this.#toChange().rename(name, MountedDirectory.#ownOf(to), newName);
  }
  removeFile(name: BytePath): void {
    this.#toChange().removeFile(name);
  }
  removeDirectory(name: BytePath): void {
    this.#toChange().removeDirectory(name);
  }
  fileSystemType(): number {
    return this.#own.fileSystemType();
  }
  close(): void {
    this.#own.close();
  }

  static #ownOf(directory: OpenDirectory): OpenDirectory {
    return directory instanceof MountedDirectory ? directory.#own : directory;
  }

  /** @param name empty for the directory itself, which is the mount already */
  #mountAt(name: BytePath): RecordedMount | undefined {
    return name === '' ? undefined : this.#tree.mounts.get(below(this.#path, name));
  }

  /** The directory, where what is in it may be looked at: below what is lost there may be a mount again. */
  #inside(name: BytePath, mount?: RecordedMount): OpenDirectory {
    if (name !== '' && mount === undefined) this.requireContent();
    return this.#own;
  }

  #toChange(): OpenDirectory {
    this.requireContent();
    if (this.#isReadOnly) throw syscallError('EROFS', 'open', this.#path);
    return this.#own;
  }

  #openFile(name: BytePath, open: (directory: OpenDirectory, name: BytePath) => number): number {
    const mount = this.#mountAt(name);
    return mount?.is === 'bind' ? this.#atSource(name, mount.source, open) : open(this.#inside(name, mount), name);
  }

  /** Does something with the source of a mount. The way there had no symlink in it when it was mounted, and none is followed now. */
  #atSource<T>(
    name: BytePath,
    source: BytePath,
    work: (directory: OpenDirectory, name: BytePath, status: FileStatus) => T,
  ): T {
    const names = source.split('/').filter((part) => part !== '');
    const base = names.pop() ?? '';
    let directory = this.#tree.calls.openDirectory('/');
    try {
      let status: FileStatus;
      try {
        for (const part of names) {
          const inside = directory.openDirectory(part);
          directory.close();
          directory = inside;
        }
        status = directory.status(base);
        if (status.type === SYMLINK) throw syscallError('ELOOP', 'open', base);
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(systemCode(error) ?? '')) throw error;
        const { containerId } = this.#tree;
        throw missingSource(source, shownPath(containerId, below(this.#path, name)), error);
      }
      return work(directory, base, status);
    } finally {
      directory.close();
    }
  }
}

interface LostMount {
  readonly is: 'tmpfs' | 'kernel';
  /** Where it was mounted. */
  readonly path: BytePath;
}
