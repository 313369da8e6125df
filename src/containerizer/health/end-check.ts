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
 * Kills what a check has started, whoever has begun it and whether that one lives: what has its mark, is a descendant of that, or is in a session with one of these, which runtimes begin for each program that they start. They are stopped first, so that nothing is started
 * meanwhile. What stands still dies when it goes on.
 * @param inContainer the processes of the container, looked up each time @param first its own program
 */
export async function endCheck(
  processes: Processes,
  inContainer: () => readonly number[],
  first: number | undefined,
  id: string,
): Promise<void> {
  const held = new Map<number, ProcessHandle>();
  try {
    for (let looks = 0; looks < MOST_LOOKS; looks++) {
      let isNew = false;
      for (const pid of startedBy(inContainer(), first, id, held)) {
        // Held first: if it is in the container now, it is the one that is meant.
        const one = processes.open(pid);
        if (one === undefined) continue;
        if (!startedBy(inContainer(), first, id, held).includes(pid)) {
          one.close();
          continue;
        }
        held.set(pid, one);
        one.send(SIGSTOP);
        isNew = true;
      }
      if (!isNew) break;
      await sleep(STOPPING);
    }
    for (const one of held.values()) one.send(SIGKILL);
  } finally {
    for (const one of held.values()) one.close();
  }
}

/** Those that are not held yet. */
function startedBy(
  pids: readonly number[],
  first: number | undefined,
  id: string,
  held: ReadonlyMap<number, ProcessHandle>,
): number[] {
  const stats = new Map(
    pids.flatMap((pid) => {
      const stat = processStat(pid);
      return stat === undefined || stat.state === 'Z' ? [] : [[pid, stat] as const];
    }),
  );
  const found = new Set([...stats.keys()].filter((pid) => held.has(pid) || isMarked(pid, id)));
  // Should one not do so, that of the first program, or ours, is nobody's whom a check has started.
  const others = [0, stats.get(first ?? 0)?.session, processStat(process.pid)?.session];
  const sessions = new Set<number>();
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const pid of found) sessions.add(stats.get(pid)?.session ?? 0);
    for (const session of others) sessions.delete(session ?? 0);
    for (const [pid, { parent, session }] of stats) if (found.has(parent) || sessions.has(session)) found.add(pid);
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
