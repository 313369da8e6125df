import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { processStat } from '../../system/processes/process-stat.js';
import type { Processes, ProcessHandle } from '../../system/processes/processes.js';

/** The variable by which a check, and all that it starts, is known; its value is the check's id. */
export const CHECK_MARK = 'PROVISIONER_HEALTH_CHECK';

const { SIGKILL, SIGSTOP } = constants.signals;
/** Each finds what was being started during the one before. */
const MOST_LOOKS = 20;
/** Milliseconds in which what is told to stop does so. */
const STOPPING = 1;

/**
 * Kills what a check has started, whoever has begun it and whether that one lives: what has its mark, is a descendant of that, or is in a session that one of these has begun. They are stopped first, so that nothing is started
 * meanwhile. What stands still dies when it goes on.
 * @param inContainer the processes of the container, looked up each time
 */
export async function endCheck(processes: Processes, inContainer: () => readonly number[], id: string): Promise<void> {
  const held = new Map<number, ProcessHandle>();
  try {
    for (let looks = 0; looks < MOST_LOOKS; looks++) {
      let isNew = false;
      for (const pid of startedBy(inContainer(), id, held)) {
        // Held first: if it is in the container now, it is the one that is meant.
        const process = processes.open(pid);
        if (process === undefined) continue;
        if (!startedBy(inContainer(), id, held).includes(pid)) {
          process.close();
          continue;
        }
        held.set(pid, process);
        process.send(SIGSTOP);
        isNew = true;
      }
      if (!isNew) break;
      await sleep(STOPPING);
    }
    for (const process of held.values()) process.send(SIGKILL);
  } finally {
    for (const process of held.values()) process.close();
  }
}

/** Those that are not held yet. */
function startedBy(pids: readonly number[], id: string, held: ReadonlyMap<number, ProcessHandle>): number[] {
  const stats = new Map(
    pids.flatMap((pid) => {
      const stat = processStat(pid);
      return stat === undefined || stat.state === 'Z' ? [] : [[pid, stat] as const];
    }),
  );
  const found = new Set([...stats.keys()].filter((pid) => held.has(pid) || isMarked(pid, id)));
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    // Of a session only where one of them has begun it.
    for (const [pid, { parent, session }] of stats) if (found.has(parent) || found.has(session)) found.add(pid);
  }
  return [...found].filter((pid) => !held.has(pid));
}

function isMarked(pid: number, id: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${CHECK_MARK}=${id}`);
  } catch {
    return false;
  }
}
