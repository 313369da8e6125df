import type { BytePath } from './byte-path.js';
import type { DeviceNumber, FileTime } from './syscalls.js';

/**
 * What copying, removing and measuring a tree need of the system. All work goes on in open directories, with the name of one of their
 * entries, so neither the length of the path that leads there nor a symlink slipped into it matters. Load them with `loadTreeCalls`.
 */
export interface TreeCalls {
  readonly kind: 'native' | 'native-free';
  /** @param path absolute; its last component is not followed @throws `ENOTDIR` also for a symlink, or `ELOOP` */
  openDirectory(path: string): OpenDirectory;

  // On open files
  fileStatus(descriptor: number): FileStatus;
  /**
   * Copies the content between two open files, the second one empty; holes stay holes. Shares the blocks where the file system can.
   * @param pause called between pieces of at most 32 MiB; may throw
   */
  copyContent(from: number, to: number, status: FileStatus, pause: () => void): void;
  /**
   * The next stretch of an open file that is not a hole, from `position` to `size` at most; undefined when there is only a hole. Where holes cannot be
   * told from zeros there are none.
   */
  nextData(
    descriptor: number,
    position: number,
    size: number,
  ): { readonly start: number; readonly end: number } | undefined;
  setFileOwner(descriptor: number, uid: number, gid: number): void;
  setFileMode(descriptor: number, mode: number): void;
  setFileTimes(descriptor: number, accessed: FileTime, modified: FileTime): void;
  fileXattrs(descriptor: number): Xattrs;
  closeFile(descriptor: number): void;
}

/** A directory held open until `close`. Names are single components unless said otherwise; symlinks are never followed. */
export interface OpenDirectory {
  /**
   * All entries but `.` and `..`, in the order of the file system, one after the other, in memory that does not grow with them. One cursor at a time in a directory, which stays
   * open at least as long.
   * @param position what an earlier cursor of this directory had as `before` or `after`; 0 for the first entry. Default: for a directory in which nothing has been read
   */
  cursor(position?: bigint): DirectoryCursor;
  /** @param name empty for the directory itself */
  status(name: BytePath): FileStatus;
  /** Less than `status`, for less time. */
  usage(name: BytePath): FileUsage;
  /** @param path may have several components, and be longer than PATH_MAX; empty for the directory itself */
  openDirectory(path: BytePath): OpenDirectory;
  openParent(): OpenDirectory;
  /** A regular file, for reading; its access time stays as it is where we may ask for that. */
  openFile(name: BytePath): number;
  /**
   * As `openFile`, in a tree that somebody else may be changing: what is no regular file is not opened, not even for a moment, since a device may do something then.
   * @throws `EINVAL` for what is none
   */
  openRegularFile(name: BytePath): number;
  /** A new regular file, for writing. @throws `EEXIST` */
  createFile(name: BytePath, mode: number): number;
  /** Mode 0700. @returns false when something of that name is there */
  makeDirectory(name: BytePath): boolean;
  readSymlink(name: BytePath): BytePath;
  makeSymlink(target: BytePath, name: BytePath): void;
  makeHardLink(existingIn: OpenDirectory, existing: BytePath, name: BytePath): void;
  /** @param mode with the file type bits */
  makeNode(name: BytePath, mode: number, device: DeviceNumber): void;
  /** @param name empty for the directory itself */
  setOwner(name: BytePath, uid: number, gid: number): void;
  /** Not for symlinks. @param name empty for the directory itself */
  setMode(name: BytePath, mode: number): void;
  /** Of a directory; unlike `setMode` also in a tree that somebody else may be changing. */
  setDirectoryMode(name: BytePath, mode: number): void;
  /** Of a FIFO or a device; unlike `setMode` also in a tree that somebody else may be changing. @throws `EINVAL` for what is none */
  setNodeMode(name: BytePath, mode: number): void;
  /** Lets the read-only subvolume be written of which this is the topmost directory. @returns false for what is none, or may not be */
  makeSubvolumeWritable(): boolean;
  /**
   * Takes the immutable and append-only flags off a file or a directory, whose nobody else can be. @param name empty for the directory itself
   * @returns false when it has none, or they cannot be taken
   */
  makeMutable(name: BytePath): boolean;
  /**
   * Gives a file or a directory to a project (see `Syscalls.projectUse`); what is made in the directory from then on belongs to it too. @param name empty for the directory itself
   * @param project 0 for none @returns false for what is of another kind and cannot be given @throws `ENOTTY`, `ENOTSUP` where there are none
   */
  giveToProject(name: BytePath, project: number): boolean;
  /** @param name empty for the directory itself */
  setTimes(name: BytePath, accessed: FileTime, modified: FileTime): void;
  /** @param name empty for the directory itself */
  xattrs(name: BytePath): Xattrs;
  /** Gives an entry another name, here or in another directory, in one step; what has that name is replaced. @throws `EXDEV` for a directory of another mount */
  rename(name: BytePath, to: OpenDirectory, newName: BytePath): void;
  removeFile(name: BytePath): void;
  removeDirectory(name: BytePath): void;
  /** Which kind of file system it is on. @see statfs(2), `f_type` */
  fileSystemType(): number;
  close(): void;
}

/** The extended attributes of one file. Names have one character per byte. */
export interface Xattrs {
  list(): readonly string[];
  /** @returns undefined when there is no such attribute */
  get(name: string): Uint8Array | undefined;
  set(name: string, value: Uint8Array): void;
  /** No such attribute is no error. */
  remove(name: string): void;
}

/**
 * Stands on one entry after the other, in front of the first at first. What is removed meanwhile may still show, and what is added may or may not; all others
 * show once.
 */
export interface DirectoryCursor {
  /** Goes on to the next entry. @returns false at the end */
  next(): boolean;
  /** Undefined where listing does not tell. */
  readonly type: FileType | undefined;
  readonly name: BytePath;
  /** The low 32 bits of the inode number; undefined where listing does not tell. */
  readonly inode: number | undefined;
  /** Where another cursor goes on so that it comes to this entry next, when those in front of it have been removed. */
  readonly before: bigint;
  /** Where another cursor goes on so that it comes to what follows this entry, when none in front of it has been removed. */
  readonly after: bigint;
  usage(): FileUsage;
  removeFile(): void;
  /** The directory stays open. */
  close(): void;
}

export interface FileStatus {
  readonly type: FileType;
  /** Permissions with setuid, setgid and sticky: 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** Bytes. */
  readonly size: number;
  /** Bytes on disk, as `du` counts them. */
  readonly disk: number;
  /** Of a device. */
  readonly device: DeviceNumber;
  readonly accessed: FileTime;
  readonly modified: FileTime;
  /** The low 32 bits of the inode number. */
  readonly inode: number;
  /** Its high 32 bits. */
  readonly inodeHigh: number;
  /** Equal for two names of one file and for nothing else. */
  readonly identity: string;
}

export interface FileUsage {
  readonly type: FileType;
  readonly links: number;
  /** Bytes on disk, as `du` counts them. */
  readonly disk: number;
  /** Equal on one file system. */
  readonly fileSystem: string;
  /** True for a mount point; undefined where the system does not tell. */
  readonly mountPoint: boolean | undefined;
  /** The low 32 bits of the inode number. */
  readonly inode: number;
  /** Its high 32 bits. */
  readonly inodeHigh: number;
  readonly identity: string;
}

/** The type bits of a mode. @see inode(7) */
export type FileType = number;
export const FILE_TYPE_MASK = 0o170000;
export const FIFO: FileType = 0o010000;
export const CHARACTER_DEVICE: FileType = 0o020000;
export const DIRECTORY: FileType = 0o040000;
export const BLOCK_DEVICE: FileType = 0o060000;
export const REGULAR_FILE: FileType = 0o100000;
export const SYMLINK: FileType = 0o120000;
export const SOCKET: FileType = 0o140000;

/** Between two pieces of this many bytes a long copy looks whether it is still wanted. */
export const COPY_PIECE = 32 * 1024 * 1024;

export const NO_XATTRS: Xattrs = {
  list: () => [],
  get: () => undefined,
  set: () => undefined,
  remove: () => undefined,
};
