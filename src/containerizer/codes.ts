import type { ErrorTable } from '../base/codes/code-table.js';

/** What keeps a container from being run as it was asked for. */
export const CONTAINERIZER_ERRORS = {
  ERR_LIMIT_INVALID: {
    meaning: 'A limit of a container is no limit that anything could be held to, on this machine or on any.',
    whatToDo: 'Correct it: the message names the limit and what it may be.',
    retryable: false,
  },
  ERR_LIMIT_UNSUPPORTED: {
    meaning: 'A limit of a container cannot be kept on this machine, and it is not ignored.',
    whatToDo: 'Leave the limit out, or let the machine have the controller that the message names.',
    retryable: false,
  },
  ERR_LIMIT_UPDATE: {
    meaning: 'The kernel did not take a new limit of a running container; those that it had taken were put back.',
    whatToDo: 'Read the cause; memory that is in use cannot be taken away.',
    retryable: { when: 'what is to be taken away is in use', holds: ({ errno }) => errno === 'EBUSY' },
  },
  ERR_FREEZE_TIMEOUT: {
    meaning: 'A container did not come to a stand in time, and goes on.',
    whatToDo: 'Look at the processes that the message names: one that waits for a device cannot be frozen.',
    retryable: true,
  },
  ERR_CGROUP_BUSY: {
    meaning: 'The cgroup of a container could not be removed, since something is still in it.',
    whatToDo: 'Look at the processes that the message names: one that waits for a device outlives its kill.',
    retryable: true,
  },
  ERR_CGROUP: {
    meaning: 'A file or directory of a cgroup could not be read, written, made or removed.',
    whatToDo: 'Read the cause; mostly this user may not.',
    retryable: {
      when: 'the machine is short of something',
      holds: ({ errno }) => errno === 'ENOMEM' || errno === 'EMFILE' || errno === 'ENFILE',
    },
  },
} as const satisfies ErrorTable;

declare module '../base/codes/code-tables.js' {
  interface ErrorTables {
    readonly containerizer: typeof CONTAINERIZER_ERRORS;
  }
}
