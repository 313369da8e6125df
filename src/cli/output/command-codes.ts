import type { ErrorTable, WarningTable } from '../../base/codes/code-table.js';

/** Codes that only the command line gives, to what is no error of the library. */
export const COMMAND_ERRORS = {
  ERR_USAGE: {
    meaning:
      'The command line is wrong: a command, an option or an argument is unknown, missing, or does not go with another one.',
    whatToDo: 'Correct it: `--help` shows what the command takes.',
    retryable: false,
  },
  ERR_UNEXPECTED: {
    meaning: 'Something went wrong that has no code of its own: a fault of this program.',
    whatToDo: 'Run the command again with `--debug`, and report what it prints.',
    retryable: false,
  },
} as const satisfies ErrorTable;

/** Warnings that only the command line gives. */
export const COMMAND_WARNINGS = {
  RUNTIME_OUTDATED: {
    meaning:
      'The release of the runtime that runs containers here is known to let programs out of them, unless the distribution has mended it under the same number.',
    whatToDo: 'Install a newer one, or look into what the distribution says of the faults that the message names.',
  },
  LEFT_OUT: {
    meaning: 'Something was not copied with the rest: a socket, a device, what the kernel makes up, or an attribute.',
    whatToDo: 'Nothing, or `cp -a` for devices.',
  },
  NO_NAMES: {
    meaning: 'An image that was to lose its names has none; it stays until a prune.',
    whatToDo: 'Nothing, or prune.',
  },
  PASSWORD_SHOWN: {
    meaning: 'A password stands on the command line, where others on the machine see it in the list of processes.',
    whatToDo: 'Give it by `--password-stdin`.',
  },
  CREDENTIALS_UNPROVEN: {
    meaning: 'A registry asked for no credentials, so nobody knows whether those that were stored are right.',
    whatToDo: 'Nothing, unless the registry should have asked.',
  },
  STILL_LOGGED_IN: {
    meaning: 'Another file has credentials for a registry after a logout.',
    whatToDo: 'Log out with that file as `--authfile`, if it is to be forgotten there too.',
  },
} as const satisfies WarningTable;
