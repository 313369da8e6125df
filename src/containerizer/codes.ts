import type { ErrorTable } from '../base/codes/code-table.js';

/** What keeps a container from being run, or from being what it was asked to be. */
export const CONTAINERIZER_ERRORS = {
  ERR_RUNTIME_MISSING: {
    meaning: 'What is needed to run containers is not installed here: crun or runc, or Perl for their monitors.',
    whatToDo: 'Install it (Debian: `crun`), or name another runtime.',
    retryable: false,
  },
  ERR_RUNTIME_UNUSABLE: {
    meaning: 'A runtime is there, and cannot run containers here, or does not answer.',
    whatToDo: 'Do what the hint says; try another runtime.',
    retryable: false,
  },
  ERR_CONTAINER_NOT_RUNNING: {
    meaning: 'The program of a container does not run, so nothing can be done to it.',
    whatToDo: 'Look at its state: it may not have been started yet, or have ended.',
    retryable: false,
  },
  ERR_NO_TERMINAL: {
    meaning: 'The program of a container was started without a terminal, so nobody can sit down at it.',
    whatToDo: 'Follow its log, run a program more that has one, or launch it with a terminal.',
    retryable: false,
  },
  ERR_CONTAINER_UNDEAD: {
    meaning:
      'Processes of a container do not die though they were killed: they wait for a device or a file system. Or its monitor does not tell that they have.',
    whatToDo: 'Look at what the message names; a later recovery tries again.',
    retryable: true,
  },
  ERR_NO_COMMAND: {
    meaning: 'Neither the image nor the caller says which program is to run.',
    whatToDo: 'Give a command.',
    retryable: false,
  },
  ERR_COMMAND_NOT_FOUND: {
    meaning: 'The program that is to run is not in the root filesystem.',
    whatToDo: 'Look at the command, and at the `PATH` of the container.',
    retryable: false,
  },
  ERR_COMMAND_NOT_EXECUTABLE: {
    meaning: 'The program that is to run is there, and cannot be executed.',
    whatToDo: 'Look at its mode, its format, and at the user who runs it.',
    retryable: false,
  },
  ERR_ROOTFS_READ_ONLY: {
    meaning: 'What is to be changed in a container is read-only: its root filesystem, or what is mounted there.',
    whatToDo: 'Give the container a volume, or a root filesystem, that can be written.',
    retryable: false,
  },
  ERR_FILE_NOT_FOUND: {
    meaning: 'There is no such file or directory, in the container or on this machine.',
    whatToDo: 'Look at the path, which begins at the root of the container.',
    retryable: false,
  },
  ERR_FILE_TYPE: {
    meaning:
      'What is at a path is of another kind than what is asked for needs: a directory, a device, a FIFO, a mount, or what is there only while the program runs.',
    whatToDo: 'Look at what the message says is there.',
    retryable: false,
  },
  ERR_FILE_CHANGED: {
    meaning: 'A file, or the way to it, was changed by somebody else while it was read or written.',
    whatToDo: 'Try again, with the container paused where it goes on changing.',
    retryable: true,
  },
  ERR_ARCHIVE_REFUSED: {
    meaning:
      'An archive that was to be unpacked in a container is damaged, is compressed in a way that cannot be undone here, or would have left the directory that it was meant for.',
    whatToDo: 'Look at the entry that the message names; have the archive made again.',
    retryable: false,
  },
  ERR_DISK_LIMIT: {
    meaning: 'A container that is to be started again has written more than its limit of disk space already.',
    whatToDo: 'Give it a larger limit with `provisioner update`, or remove files of it.',
    retryable: false,
  },
  ERR_START_FAILED: {
    meaning: 'The runtime could not start a container.',
    whatToDo: 'The message has what the runtime said.',
    retryable: false,
  },
  ERR_START_TIMEOUT: {
    meaning: 'The runtime did not start a container in time, and was ended.',
    whatToDo: 'Try again; look at what the machine waits for.',
    retryable: true,
  },
  ERR_USER_UNKNOWN: {
    meaning: 'The root filesystem does not have the user or group as which the program is to run.',
    whatToDo: 'Name one of its `/etc/passwd` and `/etc/group`, or give numbers.',
    retryable: false,
  },
  ERR_WORKING_DIR: {
    meaning: 'What the program is to have as its working directory cannot be that.',
    whatToDo: 'Give another one.',
    retryable: false,
  },
  ERR_MOUNT_SOURCE: {
    meaning: 'What is to be mounted into a container, or was mounted in one whose files are wanted, is not there.',
    whatToDo: 'Make it first, or correct its path.',
    retryable: false,
  },
  ERR_MOUNT_TARGET: {
    meaning: 'At a place inside a root filesystem nothing can be mounted, or nothing may be.',
    whatToDo:
      'Choose another target; where it is the image that stands in the way, do not use it unless you know why it is like that.',
    retryable: false,
  },
  ERR_DEVICE_NOT_FOUND: {
    meaning: 'A device that a container is to have is not there, is none, or is described in no CDI file.',
    whatToDo: 'Look at what the message names: a module may have to be loaded, or a CDI file made again.',
    retryable: false,
  },
  ERR_DEVICE_UNSUPPORTED: {
    meaning: 'The CDI file of a device asks for something that containers here cannot have.',
    whatToDo: 'Leave the device out.',
    retryable: false,
  },
  ERR_CDI_FILE: {
    meaning:
      'A CDI file that describes a device is malformed, contradicts another one, or could have been changed by anybody.',
    whatToDo: 'Correct the file that the message names, or have it made again.',
    retryable: false,
  },
  ERR_NETWORK_NOT_FOUND: {
    meaning: 'There is no network of that name, or no namespace at that path.',
    whatToDo: 'Look at what there is: `provisioner network ls`.',
    retryable: false,
  },
  ERR_NETWORK_EXISTS: {
    meaning: 'There is a network of that name already, or one with addresses of that range.',
    whatToDo: 'Choose another name or range.',
    retryable: false,
  },
  ERR_NETWORK_IN_USE: {
    meaning: 'A network cannot be removed, since containers are connected to it.',
    whatToDo: 'End and destroy those that the message names.',
    retryable: false,
  },
  ERR_NETWORK_FULL: {
    meaning: 'A network has no address left for one more container, or its bridge no place.',
    whatToDo: 'End some that are connected to it, or make another network.',
    retryable: true,
  },
  ERR_NETWORK_FAILED: {
    meaning: 'The program that connects containers to networks could not do it, or did not end in time.',
    whatToDo: 'Read what it says: mostly a program or a module of the kernel is missing that it needs.',
    retryable: true,
  },
  ERR_NETWORK_UNSUPPORTED: {
    meaning: 'What is needed to connect containers to a network is not installed here.',
    whatToDo: 'Install netavark, or the plugins of CNI: the message says which.',
    retryable: false,
  },
  ERR_ADDRESS_IN_USE: {
    meaning: 'Another container has the address that was asked for.',
    whatToDo: 'Leave the address out, or end the container that the message names.',
    retryable: true,
  },
  ERR_PORT_IN_USE: {
    meaning: 'A port of this machine is taken, by a container or by another program.',
    whatToDo: 'Choose another port, or end what has it.',
    retryable: true,
  },
  ERR_NO_BLOCK_DEVICE: {
    meaning: 'What is to have a limit of its speed is no disk: no block device.',
    whatToDo: 'Name the disk itself; `lsblk` shows them.',
    retryable: false,
  },
  ERR_LEASED: {
    meaning: 'A processor or device is leased by another container, or by whoever has reserved it, for himself alone.',
    whatToDo: 'Wait until that has ended, or take another one: `provisioner leases` shows who has what.',
    retryable: true,
  },
  ERR_SIGNAL_UNKNOWN: {
    meaning: 'There is no signal of that name or number.',
    whatToDo: 'Write a name, such as TERM or SIGHUP, or a number from 1 to 64.',
    retryable: false,
  },
  ERR_SECCOMP_PROFILE: {
    meaning: 'A seccomp profile cannot be read, or says something that has no sense or is not supported.',
    whatToDo: 'Correct the file: the message names it, and where in it.',
    retryable: false,
  },
  ERR_LIMIT_INVALID: {
    meaning:
      'A limit of a container is below what works, contradicts another one, or names what this machine does not have.',
    whatToDo: 'Correct it: the message names the limit and what it may be.',
    retryable: false,
  },
  ERR_LIMIT_UNSUPPORTED: {
    meaning: 'A limit of a container cannot be kept on this machine, and it is not ignored.',
    whatToDo: 'Leave the limit out, or let the machine have what the message names.',
    retryable: false,
  },
  ERR_LIMIT_UPDATE: {
    meaning: 'The kernel did not take a new limit of a running container; those that it had taken were put back.',
    whatToDo: 'Read the cause; memory that is in use cannot be taken away.',
    retryable: { when: 'what is to be taken away is in use', holds: ({ errno }) => errno === 'EBUSY' },
  },
  ERR_NO_HEALTH_CHECK: {
    meaning: 'Somebody waits for a container to be healthy, or not, and nothing says how that is found out.',
    whatToDo: 'Give it a health command when it is launched, or use an image that has one.',
    retryable: false,
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
