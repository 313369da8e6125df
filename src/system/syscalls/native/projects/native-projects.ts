import { closeSync, constants, openSync } from 'node:fs';
import { constants as os } from 'node:os';
import { koffi } from '../../../koffi.js';
import { type BytePath, cPath, toBytePath } from '../../byte-path.js';
import type { ProjectUse } from '../../syscalls.js';
import { DIRECTORY, REGULAR_FILE } from '../../tree-calls.js';
import { AT_FDCWD, check, close, lastErrno, lastError, openat } from '../libc/libc.js';
import { ioctlOn } from '../libc/libc-trees.js';
import { nativeStatus } from '../native-file-status.js';

/** By number: C libraries have no function for it. The same on all machines. Linux 5.14. */
const QUOTACTL_FD = 443;
const rawQuotactlFd = koffi.load(null).func('long syscall(long, uint, uint, uint, void *)') as (
  number: number,
  descriptor: number,
  command: number,
  id: number,
  memory: Uint8Array,
) => number;

/** @see linux/quota.h and linux/dqblk_xfs.h: QCMD, PRJQUOTA, Q_GETQUOTA, Q_SETQUOTA, Q_XGETQSTATV */
const PRJQUOTA = 2;
const commandOf = (word: number) => ((word << 8) | PRJQUOTA) >>> 0;
const GET = commandOf(0x800007);
const SET = commandOf(0x800008);
const GET_STATE = commandOf(0x5808);
/** `struct fs_quota_statv`: its first byte says which version is wanted, and flags are 16 bits at 2. It has 168 bytes, and may grow. */
const STATE_SIZE = 512;
const STATE_VERSION = 1;
const FS_QUOTA_PDQ_ENFD = 1 << 5;
/** `struct if_dqblk`: eight words of 64 bits (hard and soft limit of blocks, bytes in use, hard and soft limit of inodes, inodes in use, two times), and which of them count. */
const QUOTA_SIZE = 72;
const VALID_AT = 64;
const QIF_BLIMITS = 1;
/** What limits of blocks are counted in. @see linux/quota.h, QIF_DQBLKSIZE */
const LIMIT_UNIT = 1024;

/** `struct fsxattr`: flags at 0, the project at 12. The direction bits of the numbers lie elsewhere on ppc64. @see linux/fs.h */
const [FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR] =
  process.arch === 'ppc64' ? [0x401c581f, 0x801c5820] : [0x801c581f, 0x401c5820];
const FSXATTR_SIZE = 28;
const PROJECT_AT = 12;
const FS_XFLAG_PROJINHERIT = 0x200;

const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const PLACE = O_PATH | constants.O_NOFOLLOW | O_CLOEXEC;
const READ = constants.O_RDONLY | constants.O_NONBLOCK | O_CLOEXEC;

/** As `Syscalls.keepsProjectLimits`. */
export function keepsProjectLimits(directory: string): boolean {
  const state = new DataView(new ArrayBuffer(STATE_SIZE));
  state.setUint8(0, STATE_VERSION);
  const result = onFileSystem(directory, (descriptor) => quotactl(descriptor, GET_STATE, 0, state));
  return result >= 0 && (state.getUint16(2, IS_LITTLE) & FS_QUOTA_PDQ_ENFD) !== 0;
}

/** As `Syscalls.projectUse`. */
export function projectUse(directory: string, project: number): ProjectUse {
  const quota = new DataView(new ArrayBuffer(QUOTA_SIZE));
  return onFileSystem(directory, (descriptor) => {
    if (quotactl(descriptor, GET, project, quota) < 0) {
      // One that nobody has ever had.
      if (lastErrno() === os.errno.ENOENT) return { bytes: 0, files: 0, limit: 0 };
      throw lastError('quotactl', toBytePath(directory));
    }
    const word = (at: number) => Number(quota.getBigUint64(at * 8, IS_LITTLE));
    return { bytes: word(2), files: word(5), limit: word(0) * LIMIT_UNIT };
  });
}

/** As `Syscalls.limitProject`. */
export function limitProject(directory: string, project: number, bytes: number): void {
  const quota = new DataView(new ArrayBuffer(QUOTA_SIZE));
  const limit = BigInt(Math.ceil(bytes / LIMIT_UNIT));
  for (const at of [0, 8]) quota.setBigUint64(at, limit, IS_LITTLE);
  quota.setUint32(VALID_AT, QIF_BLIMITS, IS_LITTLE);
  onFileSystem(directory, (descriptor) =>
    check(quotactl(descriptor, SET, project, quota), 'quotactl', toBytePath(directory)),
  );
}

/** As `OpenDirectory.giveToProject`. */
export function giveToProject(directory: number, name: BytePath, project: number): boolean {
  const place = check(openat(directory, cPath(name || '.'), PLACE, 0), 'open', name);
  try {
    const { type } = nativeStatus(place, '');
    if (type !== DIRECTORY && type !== REGULAR_FILE) return false;
    // The very one that was looked at, whatever has its name by now.
    const descriptor = check(openat(AT_FDCWD, cPath(`/proc/self/fd/${place}`), READ, 0), 'open', name);
    try {
      setProject(descriptor, project, type === DIRECTORY, name);
      return true;
    } finally {
      close(descriptor);
    }
  } finally {
    close(place);
  }
}

function setProject(descriptor: number, project: number, isDirectory: boolean, name: BytePath): void {
  const bytes = new Uint8Array(FSXATTR_SIZE);
  const attributes = new DataView(bytes.buffer);
  check(ioctlOn(descriptor, FS_IOC_FSGETXATTR, bytes), 'ioctl', name);
  const flags = attributes.getUint32(0, IS_LITTLE);
  const inherits = isDirectory && project !== 0;
  const wanted = inherits ? flags | FS_XFLAG_PROJINHERIT : flags & ~FS_XFLAG_PROJINHERIT;
  attributes.setUint32(0, wanted >>> 0, IS_LITTLE);
  attributes.setUint32(PROJECT_AT, project, IS_LITTLE);
  check(ioctlOn(descriptor, FS_IOC_FSSETXATTR, bytes), 'ioctl', name);
}

const IS_LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

const quotactl = (descriptor: number, command: number, id: number, { buffer }: DataView<ArrayBuffer>): number =>
  rawQuotactlFd(QUOTACTL_FD, descriptor, command, id, new Uint8Array(buffer));

function onFileSystem<T>(directory: string, work: (descriptor: number) => T): T {
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return work(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
