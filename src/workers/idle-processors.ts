import { readdirSync, readFileSync } from 'node:fs';

/** Between two looks, in milliseconds: so long it takes to tell a job that works from one that waits. */
export const LOOK_INTERVAL = 50;

/** What the process wants of the processors. */
export interface ProcessorClock {
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  /** Milliseconds in which threads worked, or would have, had they not waited for a processor that others had. */
  wanted(): number;
}

export const PROCESSOR_CLOCK: ProcessorClock = {
  now: () => performance.now(),
  wanted: () => wantedByThreads() ?? usedByThreads(),
};

/** Only Linux tells this. @see the kernel's Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat" */
function wantedByThreads(): number | undefined {
  const tasks = '/proc/self/task';
  try {
    let nanoseconds = 0;
    for (const task of readdirSync(tasks)) {
      const [ran = 0, waited = 0] = readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ').map(Number);
      nanoseconds += ran + waited;
    }
    return nanoseconds / 1e6;
  } catch {
    return undefined;
  }
}

function usedByThreads(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * Tells how many jobs at a time keep the processors busy, by what those at work want of them: layers that wait for a slow network take next to nothing, and more of them may be fetched at a
 * time; of layers that come as fast as they can be unpacked, more than one for each processor would cost memory and bring nothing.
 */
export class IdleProcessors {
  readonly #processors: number;
  readonly #clock: ProcessorClock;
  #since = 0;
  #wanted = 0;
  /** What the last look came to. */
  #seen = 0;

  /** @param processors that the jobs may use */
  constructor(processors: number, clock: ProcessorClock = PROCESSOR_CLOCK) {
    this.#processors = processors;
    this.#clock = clock;
  }

  /** To be called first. What has been before is of no interest. */
  begin(): void {
    this.#seen = 0;
    this.#note();
  }

  /**
   * Two looks have to agree: a job may wait for a moment.
   * @param atWork jobs that have been at work since the last look
   * @returns how many of their kind there may be: as many as there are processors, or more
   */
  jobs(atWork: number): number {
    const [since, wanted, seen] = [this.#since, this.#wanted, this.#seen];
    this.#note();
    const ofOne = Math.max(this.#wanted - wanted, 0) / (this.#since - since) / atWork;
    this.#seen = Math.floor(this.#processors / ofOne) || 0;
    return Math.max(this.#processors, Math.min(this.#seen, seen));
  }

  #note(): void {
    this.#since = this.#clock.now();
    this.#wanted = this.#clock.wanted();
  }
}
