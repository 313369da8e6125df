import type { ErrorTable } from '../base/codes/code-table.js';

/** What keeps a pool of warm containers from doing its work. */
export const WARM_POOL_ERRORS = {
  ERR_POOL_NOT_FOUND: {
    meaning: 'There is no pool of that name in this process.',
    whatToDo: 'Look at the name; a pool is there from `keep` until it is stopped.',
    retryable: false,
  },
  ERR_POOL_BROKEN: {
    meaning: 'A warm container broke within seconds after it was made, such as one whose program has ended.',
    whatToDo: 'Look at its command and its image: what is `generic` has to run until it is had.',
    retryable: true,
  },
  ERR_POOL_RUNNING: {
    meaning: 'Another process that lives keeps the pool of that name, for the same owner.',
    whatToDo: 'Choose another name, or stop the pool there.',
    retryable: true,
  },
  ERR_POOL_STOPPED: {
    meaning: 'A pool was stopped, so nothing can be had of it any more.',
    whatToDo: 'Begin it anew.',
    retryable: false,
  },
  ERR_POOL_TIMEOUT: {
    meaning:
      'The making of a warm container took longer than it may: it was given up, and what still comes of it is destroyed.',
    whatToDo: 'Look at what takes so long, such as a pull; pull the image before, or allow more time.',
    retryable: true,
  },
} as const satisfies ErrorTable;

declare module '../base/codes/code-tables.js' {
  interface ErrorTables {
    readonly warmPool: typeof WARM_POOL_ERRORS;
  }
}
