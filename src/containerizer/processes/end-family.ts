import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProcessStat, processStat } from '../../system/processes/process-stat.js';
import type { Processes, ProcessHandle } from '../../system/processes/processes.js';

const { SIGKILL, SIGSTOP } = constants.signals;
/** Each finds what was being started during the one before. */
const MOST_LOOKS = 20;
/** Milliseconds in which what is told to stop does so. */
const STOPPING = 1;

/**
 * Ends a process with all that it has started, and those have. They are stopped first, so that nothing is started meanwhile that would be nobody's afterwards.
 * @param head has not been waited for
 */
export async function endFamily(processes: Processes, head: ProcessHandle): Promise<void> {
  const family = new Map<number, ProcessHandle>();
  try {
    head.send(SIGSTOP);
    for (let looks = 0; looks < MOST_LOOKS; looks++) {
      await sleep(STOPPING);
      const found = descendantsOf(head.pid).filter(([pid]) => !family.has(pid));
      if (found.length === 0) break;
      for (const [pid, { startTicks }] of found) {
        const held = processes.open(pid, startTicks);
        if (held === undefined) continue;
        family.set(pid, held);
        held.send(SIGSTOP);
      }
    }
  } finally {
    // Also where no descriptor was left for the others: nobody would have these go on.
    for (const held of family.values()) {
      held.send(SIGKILL);
      held.close();
    }
    head.send(SIGKILL);
  }
}

/** Those that live. Looks at all processes there are. */
function descendantsOf(pid: number): [number, ProcessStat][] {
  const children = new Map<number, [number, ProcessStat][]>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? processStat(Number(name)) : undefined;
    if (stat === undefined || stat.state === 'Z') continue;
    const siblings = children.get(stat.parent) ?? [];
    siblings.push([Number(name), stat]);
    children.set(stat.parent, siblings);
  }
  const found = [...(children.get(pid) ?? [])];
  for (const [child] of found) found.push(...(children.get(child) ?? []));
  return found;
}
