import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import type { Requirement } from './requirements.js';

/** The kinds of file system that a store may come to lie on. */
export const FILE_SYSTEMS = [
  'ext4',
  /** As kernels before 2.6 and installers with `ftype=0` left them: what lists a directory is not told of what type the entries are. */
  'ext4 without d_type',
  /** Inodes as of 2006, which end times at 2038 and have no room for nanoseconds. */
  'ext4 with 128-byte inodes',
  'xfs',
  'btrfs',
  'tmpfs',
  /** The kernel's, on a tmpfs: what a Docker container has as its root. */
  'overlay',
  /** What a rootless podman container has as its root, where the kernel's is not to be had. */
  'fuse-overlayfs',
] as const;
export type FileSystemKind = (typeof FILE_SYSTEMS)[number];

export interface MountedFileSystem {
  readonly kind: FileSystemKind;
  /** Where it is mounted. Root's, 0755, and empty but for `lost+found`. */
  readonly path: string;
  /** Changes flags of the mount: `ro`, `rw`, `noexec`, `nosuid`, `nodev`. */
  remount(...flags: string[]): void;
  /** With all that is mounted below. Happens after the test anyway. */
  unmount(): void;
}

export interface FileSystemOptions {
  /** Of those that lie on a disk, sparse in memory. Default: 512 MiB. */
  readonly bytes?: number;
  /** Who owns its topmost directory. Default: 0. */
  readonly owner?: number;
  /** More words for the `mkfs` of those that lie on a disk. */
  readonly mkfs?: readonly string[];
  /** And for the `mount` of these. */
  readonly mount?: readonly string[];
}

/** xfs takes no less than 300 MiB. */
const DISK_BYTES = 512 * 2 ** 20;

/** Those that lie on a disk: what makes them in a file. */
const MKFS: Partial<Record<FileSystemKind, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  'ext4 without d_type': ['mkfs.ext4', '-q', '-F', '-O', '^filetype'],
  'ext4 with 128-byte inodes': ['mkfs.ext4', '-q', '-F', '-I', '128'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
};

/** What a test that mounts such a file system must ask for. */
export function needsOf(kind: FileSystemKind): readonly Requirement[] {
  if (kind === 'tmpfs') return ['root', 'mount'];
  if (kind === 'overlay' || kind === 'fuse-overlayfs' || kind === 'xfs' || kind === 'btrfs') return ['root', kind];
  return ['root', 'loop'];
}

const mounted: { readonly system: MountedFileSystem; readonly place: string }[] = [];

/**
 * Makes a file system and mounts it, until the end of the test. Its loop device goes with the mount.
 * @throws as `execFileSync` where the machine lacks what `needsOf` names
 */
export function mountFileSystem(kind: FileSystemKind, options: FileSystemOptions = {}): MountedFileSystem {
  const place = mkdtempSync('/dev/shm/provisioner-fs-');
  // Ordinary users must get through.
  chmodSync(place, 0o711);
  const path = join(place, 'mounted');
  mkdirSync(path);
  const system: MountedFileSystem = {
    kind,
    path,
    remount: (...flags) => {
      sh('mount', '-o', ['remount', 'bind', ...flags].join(), path);
    },
    unmount: () => unmountAll(place),
  };
  mounted.push({ system, place });
  mountAt(kind, place, path, options);
  chownSync(path, options.owner ?? 0, options.owner ?? 0);
  return system;
}

afterEach(() => {
  // All of them go before the test fails for what it has left mounted in one.
  const left: string[] = [];
  for (const { system, place } of mounted.splice(0).reverse()) {
    left.push(...mountsBelow(place).filter((mount) => mount !== system.path));
    system.unmount();
    rmSync(place, { recursive: true, force: true });
  }
  expect(left).toEqual([]);
});

function mountAt(kind: FileSystemKind, place: string, path: string, options: FileSystemOptions): void {
  const { bytes, mkfs: words, mount = [] } = options;
  const mkfs = MKFS[kind];
  if (mkfs !== undefined) {
    const file = join(place, 'disk');
    writeFileSync(file, '');
    truncateSync(file, bytes ?? DISK_BYTES);
    sh(...mkfs, ...(words ?? []), file);
    sh('mount', '-o', ['loop', ...mount].join(), file, path);
    return;
  }
  if (kind === 'tmpfs') {
    sh('mount', '-t', 'tmpfs', '-o', `mode=0755,size=${bytes ?? DISK_BYTES}`, 'tmpfs', path);
    return;
  }
  const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => join(place, name));
  for (const directory of [lower, upper, work]) mkdirSync(directory as string);
  const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  if (kind === 'overlay') sh('mount', '-t', 'overlay', '-o', layers, 'overlay', path);
  else sh('fuse-overlayfs', '-o', `${layers},allow_other`, path);
}

/** What is busy goes when it is let go of. Of mounts upon each other only the topmost is seen at a time. */
function unmountAll(place: string): void {
  for (let mounts = mountsBelow(place); mounts.length > 0; mounts = mountsBelow(place)) {
    for (const mount of mounts) sh('umount', '--lazy', mount);
  }
}

/** What makes file systems lives where an ordinary PATH does not lead. */
function sh(command = '', ...words: string[]): void {
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
  // fuse-overlayfs stays behind as a daemon, and would hold a pipe.
  execFileSync(command, words, { cwd: tmpdir(), env, stdio: ['ignore', 'ignore', 'inherit'] });
}
