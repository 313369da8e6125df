import type { BigIntStats } from 'node:fs';
import { type DeviceNumber, type FileTime, splitDevice } from '../syscalls.js';
import { FILE_TYPE_MASK, type FileStatus, type FileUsage } from '../tree-calls.js';

/** What Node's `stat` says, in this product's words. */
export class NativeFreeFileStatus implements FileStatus, FileUsage {
  readonly type: number;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly disk: number;
  readonly device: DeviceNumber;
  readonly accessed: FileTime;
  readonly modified: FileTime;
  readonly fileSystem: string;
  readonly inode: number;
  readonly inodeHigh: number;
  readonly identity: string;
  /** Node cannot tell. */
  readonly mountPoint = undefined;

  constructor(stats: BigIntStats) {
    const mode = Number(stats.mode);
    this.type = mode & FILE_TYPE_MASK;
    this.mode = mode & 0o7777;
    this.links = Number(stats.nlink);
    this.uid = Number(stats.uid);
    this.gid = Number(stats.gid);
    this.size = Number(stats.size);
    this.disk = Number(stats.blocks) * 512;
    this.device = splitDevice(stats.rdev);
    this.accessed = fileTime(stats.atimeNs);
    this.modified = fileTime(stats.mtimeNs);
    this.fileSystem = String(stats.dev);
    this.inode = Number(stats.ino & 0xffffffffn);
    this.inodeHigh = Number(stats.ino >> 32n);
    this.identity = `${stats.dev}:${stats.ino}`;
  }
}

function fileTime(nanoseconds: bigint): FileTime {
  const rest = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { seconds: Number((nanoseconds - rest) / 1_000_000_000n), nanoseconds: Number(rest) };
}
