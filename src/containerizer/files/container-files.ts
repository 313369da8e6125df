/**
 * The files of one container, looked at and changed from outside. Paths begin at the container's root, whether with a slash or not; a symlink in them means what it means to the container's programs,
 * and none leads out. While the program runs this is what it sees, its volumes and tmpfs too, whatever it renames meanwhile. After its end it is its root filesystem and, by way of this
 * machine, what was mounted from there: volumes, read-only where they were, `/etc/hosts` and its like, which are not replaced. At and below what was a tmpfs, or the kernel's, there is nothing to be had (`ERR_FILE_TYPE`).
 *
 * What the kernel makes up (`/proc`, `/sys`) is neither read nor written nor copied. Nothing stays open between two calls.
 *
 * All reject with `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_ELSEWHERE`, `ERR_ROOTFS_UNAVAILABLE`, and, for a path, `ERR_FILE_NOT_FOUND`, `ERR_FILE_TYPE` and, when the source of a volume has gone, `ERR_MOUNT_SOURCE`; those that change something also with
 * `ERR_CONTAINER_FOREIGN`, `ERR_ROOTFS_READ_ONLY` and `ERR_NO_SPACE`.
 */
export interface ContainerFiles {
  /** What is at a path. */
  stat(path: string, options?: StatOptions): Promise<FileInfo>;
  /** What is in a directory, sorted by name, byte by byte. */
  list(path: string): Promise<FileInfo[]>;
  /** The content of a regular file, or a part of it, in pieces. Nothing else is opened. */
  read(path: string, range?: ReadRange): AsyncIterable<Uint8Array>;
  /** Puts a regular file in its place, which appears there when it is whole; one that was there is replaced. A symlink at the path is followed. The directory that it is in must be there. @throws ProvisionerError as `extract` when the content cannot be read */
  write(path: string, content: FileContent, options?: WriteOptions): Promise<void>;
  /** Makes a directory. @throws ProvisionerError `ERR_FILE_TYPE` when something is there already, but for a directory with `parents`; `ERR_FILE_NOT_FOUND` when the one above is not there, without `parents` */
  mkdir(path: string, options?: MkdirOptions): Promise<void>;
  /** Removes what is at a path, itself when it is a symlink. @returns false when nothing is there @throws ProvisionerError `ERR_FILE_TYPE` for a directory that is not empty, unless `recursive` */
  remove(path: string, options?: RemoveOptions): Promise<boolean>;
  /**
   * A tar archive (ustar with pax headers) of a file or a directory with all that is in it, under its last name; of `DIR/.` the content alone. Sorted by name. Sockets are left out, and of what the kernel makes up, or was in a tmpfs, all but the directory.
   * Attributes with a `=` or a line break in their name are left out too: an archive would give them another one.
   * @throws ProvisionerError `ERR_FILE_CHANGED` when a file becomes shorter while it is read; `ERR_FILE_TYPE` for one with more than 100 000 holes, and for a tree with more names than 128 MiB have room for
   */
  archive(path: string, options?: ArchiveOptions): AsyncIterable<Uint8Array>;
  /** As `archive`, of the root filesystem itself: nothing of what is mounted in it, volumes too, but what lies below that, which the program does not see. */
  export(options?: ExportOptions): AsyncIterable<Uint8Array>;
  /**
   * Unpacks a tar archive into a directory that is there. It may be compressed with gzip or zstd, or with xz or bzip2 where this machine has the program of that name. What the archive calls by a new name appears when all of it has been read; in directories that were there, which stay as they are, each file does when it is whole.
   * @throws ProvisionerError `ERR_ARCHIVE_REFUSED` for one that is damaged, is compressed otherwise, or would leave the directory, also by way of a symlink; `ERR_FILE_NOT_FOUND`, `ERR_PERMISSION` or `ERR_IO` when what is handed over cannot be read
   */
  extract(path: string, archive: AsyncIterable<Uint8Array>, options?: ExtractOptions): Promise<Copied>;
  /** Copies from this machine, as `docker cp` does: see docs/cli.md. @param from of this machine @param to in the container */
  copyIn(from: string, to: string, options?: CopyOptions): Promise<Copied>;
  /**
   * Copies to this machine, as `docker cp` does. Devices are left out unless owners are kept. A symlink that `to` ends with is not followed unless a slash stands behind it: it may be one that was copied before. A file
   * takes its place. @param from in the container @param to of this machine
   * @throws ProvisionerError `ERR_PERMISSION` also for a way over a symlink that somebody else has put into a directory that others may write to
   */
  copyOut(from: string, to: string, options?: CopyOptions): Promise<Copied>;
}

export type FileKind = 'file' | 'directory' | 'symlink' | 'fifo' | 'character-device' | 'block-device' | 'socket';

export interface FileInfo {
  /** The last of its path; of the root `/`. Bytes that are no UTF-8 are replaced. */
  readonly name: string;
  readonly kind: FileKind;
  /** Permissions with setuid, setgid and sticky: 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
  /** Of a symlink. */
  readonly target?: string | undefined;
}

export interface StatOptions {
  /** Tell of what a symlink leads to, instead of the symlink. Default: false. */
  readonly followLink?: boolean | undefined;
}

/** Bytes. What lies beyond the end is not there, and is no error. */
export interface ReadRange {
  /** Default: 0. */
  readonly start?: number | undefined;
  /** Default: all that follows. */
  readonly length?: number | undefined;
  /** So many from the end, instead of `start` and `length`. */
  readonly last?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Texts become UTF-8. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array | string>;

/** `kept`: as at the source. `user`: of the container's user, or, on this machine, of who runs this; then setuid, setgid and capabilities are dropped. */
export type OwnerChoice = 'kept' | 'user';

export interface WriteOptions {
  /** Permissions. Default: 0644. */
  readonly mode?: number | undefined;
  /** Default: the container's user. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MkdirOptions {
  /** Make what is missing above it too, with mode 0755 and the same owner; and take one that is there as it is. Default: false. */
  readonly parents?: boolean | undefined;
  /** Permissions. Default: 0755. */
  readonly mode?: number | undefined;
  /** Default: the container's user. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

export interface RemoveOptions {
  /** A directory with all that is in it; not what is mounted in there. Default: false. */
  readonly recursive?: boolean | undefined;
}

export interface ExportOptions {
  /** Is told of each thing that is not in the archive, as it is come to. */
  readonly onLeftOut?: ((left: LeftOut) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ArchiveOptions extends ExportOptions {
  /** Follow a symlink that the path ends with. Default: false. */
  readonly followLink?: boolean | undefined;
}

export interface ExtractOptions {
  /** Default: `kept`. */
  readonly owner?: OwnerChoice | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CopyOptions {
  /** Follow a symlink that the source ends with. Default: false. */
  readonly followLink?: boolean | undefined;
  /** Default: `user`. */
  readonly owner?: OwnerChoice | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a copy came to. */
export interface Copied {
  /** Files, directories and the rest, those that were replaced included. */
  readonly entries: number;
  /** Of the content of files, without holes. */
  readonly bytes: number;
  /** What was not copied, and why: the first hundred. */
  readonly leftOut: readonly LeftOut[];
}

export interface LeftOut {
  readonly path: string;
  /** `tmpfs`: what is in one, after the end of the program. `volume`: the source of one is not there any more. */
  readonly what: 'socket' | 'device' | 'kernel' | 'attribute' | 'tmpfs' | 'volume';
}
