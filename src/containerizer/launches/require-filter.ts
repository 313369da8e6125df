import { setTimeout as sleep } from 'node:timers/promises';
import { ProvisionerError } from '../../base/errors.js';
import { processStat } from '../../system/processes/process-stat.js';
import { readOrEmpty } from '../read-or-empty.js';

/** @see seccomp(2), SECCOMP_MODE_FILTER */
const SECCOMP_FILTERED = '2';
/** Ten seconds for a runtime that is told to go on to execute the program. */
const EXECUTION_LOOKS = 10_000;
const EXECUTION_PAUSE = 1;

/**
 * A runtime that did not give a program the filter that it was told to give is not to be trusted with it. It gives it right before it executes the program, which may be after it has told
 * that this runs.
 * @throws ProvisionerError `ERR_RUNTIME_UNUSABLE`
 * @see proc(5), /proc/pid/status, "Seccomp"
 */
export async function requireFilter(pid: number, seccomp: string | undefined, containerId: string): Promise<void> {
  if (seccomp === 'unconfined') return;
  let mode = '';
  for (let looks = 0; looks < EXECUTION_LOOKS; looks++) {
    // Asked first: it may be executed between the two looks.
    const before = processStat(pid);
    // One that has ended by now has nothing to tell, and does no harm.
    [, mode = SECCOMP_FILTERED] = /^Seccomp:\t(\d)$/m.exec(readOrEmpty(`/proc/${pid}/status`)) ?? [];
    if (mode === SECCOMP_FILTERED || before === undefined || before.state === 'Z') return;
    if (!before.isBeforeExecution) break;
    await sleep(EXECUTION_PAUSE);
  }
  throw new ProvisionerError(
    'ERR_RUNTIME_UNUSABLE',
    `the runtime started container ${containerId} without a filter of system calls`,
    {
      hint: 'use another runtime, or another version of it; `--security-opt seccomp=unconfined` does without a filter',
      details: { containerId, mode },
    },
  );
}
