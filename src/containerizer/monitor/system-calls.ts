/** Those that our programs make by number. */
type SystemCall = 'prctl' | 'unshare' | 'mount' | 'clock_gettime' | 'pidfd_open';

/** The numbers of system calls, by architecture as Node.js names it. @see the kernel's `arch/…/syscall.tbl`, `include/uapi/asm-generic/unistd.h` */
export const SYSTEM_CALLS: Readonly<Record<string, Readonly<Record<SystemCall, number>>>> = {
  x64: { prctl: 157, unshare: 272, mount: 165, clock_gettime: 228, pidfd_open: 434 },
  arm64: { prctl: 167, unshare: 97, mount: 40, clock_gettime: 113, pidfd_open: 434 },
  riscv64: { prctl: 167, unshare: 97, mount: 40, clock_gettime: 113, pidfd_open: 434 },
};
