import type { WarningTable } from './code-table.js';

/** The warnings that several rooms share. */
export const LIBRARY_WARNINGS = {
  STORE_DEGRADED: {
    meaning:
      'The store was made with less than this machine can do: its layers lack something, and only copies are made.',
    whatToDo: 'Convert the store as docs/cli.md tells at `info`.',
  },
  NATIVE_MISSING: {
    meaning:
      'Native system calls are missing, which was allowed: layers lose their devices and extended attributes, and only copies are made.',
    whatToDo: 'Make the native modules work, then convert the store as docs/cli.md tells at `info`.',
  },
  TIMES_CUT: {
    meaning: 'The file system of the store cannot keep the times of files as images have them.',
    whatToDo: 'Put the store on one that can, if the times matter.',
  },
  ATTRIBUTES_SKIPPED: {
    meaning: 'Owners, devices or extended attributes of a layer could not be kept by this user.',
    whatToDo: 'Run as root where they matter.',
  },
  NAME_NOT_GIVEN: {
    meaning:
      'An image was stored and not given a name: another image keeps it, its source has it for several images, or states another digest in it.',
    whatToDo: 'Use its digest, or give it another name.',
  },
  FOREIGN_PLATFORM: {
    meaning: 'A root filesystem was made of an image for another platform than this machine’s.',
    whatToDo: 'Pull the image for this platform, unless something emulates the other one.',
  },
  BACKEND_FALLBACK: {
    meaning: 'Root filesystems are copied, since overlay cannot be used here: they take time and disk space.',
    whatToDo: 'Do what the message says to make overlay work, or choose the backend by name.',
  },
  ROOTFS_NOEXEC: {
    meaning: 'A root filesystem is mounted or copied where no program may be run.',
    whatToDo: 'Put the store on a file system that is mounted without `noexec`.',
  },
  STAGING_LEFT: {
    meaning: 'Something that a dead pull left behind cannot be taken away; it costs disk space.',
    whatToDo: 'See the reason in the message; each later pull and recovery tries again.',
  },
  PULL_NOT_CLEARED: {
    meaning: 'A pull has ended and left something behind; it costs disk space.',
    whatToDo: 'Nothing: the next pull, prune or recovery takes it away.',
  },
  SWEEP_FAILED: {
    meaning: 'Something that was removed cannot be deleted now; it costs disk space, and is tried again.',
    whatToDo: 'See the reason in the message; `provisioner info` lists what is left.',
  },
  RECORDS_GAP: {
    meaning:
      'The records of the store were lost, or put back from a backup: images and containers may be in it that they do not tell of.',
    whatToDo:
      'Run `provisioner recover`, which tells what it leaves alone; it is told again until that has seen to everything.',
  },
  LOCK_WAIT: {
    meaning: 'The lock of the store has been waited for for long; the wait goes on.',
    whatToDo: 'Look at the processes that the message names, if it does not end.',
  },
  CONTAINER_WAIT: {
    meaning: 'Another process has been making a root filesystem of the same container for long; the wait goes on.',
    whatToDo: 'Look at the process that the message names, if it does not end.',
  },
  PULL_WAIT: {
    meaning:
      'A process that pulls the same image, or works on a layer that is needed, has been stopped for long; the wait for it goes on.',
    whatToDo: 'Continue the process that the message names, or end it: then what it had under way is done without it.',
  },
} as const satisfies WarningTable;
