/** Which rootfs it is; that says where it stands. */
export interface RootfsPlace {
  readonly id: string;
  readonly containerId: string;
  readonly backend: string;
}

/** The directories of a container, or of one backend in it, that lead to no rootfs: a crash came while the way to one was made, or taken down. */
export interface EmptyDirectories {
  readonly containerId: string;
  /** Undefined: the container's own. */
  readonly backend: string | undefined;
}
