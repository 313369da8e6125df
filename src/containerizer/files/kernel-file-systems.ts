import type { OpenDirectory } from '../../system/syscalls/tree-calls.js';

/** File systems whose files the kernel makes up: their sizes say nothing, reading some waits for ever, writing some does something to the machine. @see statfs(2); linux/magic.h */
const MADE_UP: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xcafe4a11, // bpf
  0x62656570, // configfs
  0x19800202, // mqueue
  0x1cd1, // devpts
  0x6165676c, // pstore
  0xde5e81e4, // efivarfs
  0xf97cff8c, // selinuxfs
  0x43415d53, // smackfs
  0x42494e4d, // binfmt_misc
  0x65735543, // fusectl
  0x6e736673, // nsfs
]);

/** Whether what is in a directory is no stored file. */
export function isMadeUp(directory: OpenDirectory): boolean {
  // Node has the number with its sign where it fills 32 bits.
  return MADE_UP.has(directory.fileSystemType() >>> 0);
}
