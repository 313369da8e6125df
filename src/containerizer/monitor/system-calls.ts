/** Those that a monitor makes by number. */
export const MONITOR_CALLS = [
  'prctl',
  'unshare',
  'mount',
  'clock_gettime',
  'pidfd_open',
  'mknodat',
  'recvmsg',
] as const;

/** Those that our programs make by number. */
type SystemCall =
  | (typeof MONITOR_CALLS)[number]
  | 'pidfd_getfd'
  | 'clone'
  | 'setsid'
  | 'dup3'
  | 'close'
  | 'close_range';

const GENERIC = {
  prctl: 167,
  unshare: 97,
  mount: 40,
  clock_gettime: 113,
  pidfd_open: 434,
  mknodat: 33,
  recvmsg: 212,
  pidfd_getfd: 438,
  clone: 220,
  setsid: 157,
  dup3: 24,
  close: 57,
  close_range: 436,
};

/** The numbers of system calls, by architecture as Node.js names it. @see the kernel's `arch/…/syscall.tbl`, `include/uapi/asm-generic/unistd.h` */
export const SYSTEM_CALLS: Readonly<Record<string, Readonly<Record<SystemCall, number>>>> = {
  x64: {
    prctl: 157,
    unshare: 272,
    mount: 165,
    clock_gettime: 228,
    pidfd_open: 434,
    mknodat: 259,
    recvmsg: 47,
    pidfd_getfd: 438,
    clone: 56,
    setsid: 112,
    dup3: 292,
    close: 3,
    close_range: 436,
  },
  arm64: GENERIC,
  riscv64: GENERIC,
};
