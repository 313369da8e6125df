import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { unhurried } from '../../base/unhurried.js';
import { type ProcessStat, processStat } from '../../system/processes/process-stat.js';
import type { Processes, ProcessHandle } from '../../system/processes/processes.js';

/** The variable by which a check, and all that it starts, is known; its value is the check's id. */
export const CHECK_MARK = 'PROVISIONER_HEALTH_CHECK';

const { SIGKILL, SIGSTOP } = constants.signals;
/** Each finds what was being started during the one before. */
const MOST_LOOKS = 20;
/** Milliseconds in which what is told to stop does so. */
const STOPPING = 1;
/** Milliseconds after which nobody is looked for any more: what starts others faster than it is stopped is met again by the end of the next check. */
const PATIENCE = 5000;

/** By number and start, which name a process for good. */
type Names = Set<string>;
const nameOf = (pid: number, { startTicks }: ProcessStat) => `${pid} ${startTicks}`;

/**
 * Kills what a check has started, whoever has begun it and whether that one lives: what has its mark, is a descendant of that, or is in a session with one of these, which runtimes begin for each program that they start. They are stopped first, so that nothing is started
 * meanwhile. What stands still dies when it goes on. There may be thousands: others have their turn in between.
 * @param inContainer the processes of the container, looked up each time @param first its own program
 */
export async function endCheck(
  processes: Processes,
  inContainer: () => readonly number[],
  first: number | undefined,
  id: string,
): Promise<void> {
  const killed: Names = new Set();
  const late = performance.now() + PATIENCE;
  for (let before = -1; before !== killed.size && performance.now() < late; ) {
    before = killed.size;
    const held = new Map<string, ProcessHandle>();
    try {
      await hold(processes, () => startedBy(inContainer(), first, id, killed), held);
    } finally {
      for await (const [name, one] of unhurried(held)) {
        one.send(SIGKILL);
        one.close();
        killed.add(name);
      }
    }
  }
}

/** Stops them, and holds them, until there are no more. With as many as there are descriptors for it ends, where these are some. */
async function hold(
  processes: Processes,
  find: () => Promise<ReadonlyMap<number, ProcessStat>>,
  held: Map<string, ProcessHandle>,
): Promise<void> {
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    let isNew = false;
    for await (const [pid, stat] of unhurried(await find())) {
      const name = nameOf(pid, stat);
      if (held.has(name)) continue;
      let one: ProcessHandle | undefined;
      try {
        one = processes.open(pid, stat.startTicks);
      } catch (error) {
        if (held.size > 0) return;
        throw error;
      }
      if (one === undefined) continue;
      held.set(name, one);
      one.send(SIGSTOP);
      isNew = true;
    }
    if (!isNew) return;
    await sleep(STOPPING);
  }
}

/** @param killed they lead to others still, and are not told again */
async function startedBy(
  pids: readonly number[],
  first: number | undefined,
  id: string,
  killed: Names,
): Promise<Map<number, ProcessStat>> {
  const stats = new Map<number, ProcessStat>();
  const left: number[] = [];
  const byParent = new Map<number, number[]>();
  const bySession = new Map<number, number[]>();
  for await (const pid of unhurried(pids)) {
    const stat = processStat(pid);
    if (stat === undefined || stat.state === 'Z') continue;
    stats.set(pid, stat);
    listed(byParent, stat.parent).push(pid);
    listed(bySession, stat.session).push(pid);
    if (killed.has(nameOf(pid, stat)) || isMarked(pid, id)) left.push(pid);
  }
  // Should one not begin a session, that of the first program, or ours, is nobody's whom a check has started.
  for (const session of [0, stats.get(first ?? 0)?.session, processStat(process.pid)?.session])
    bySession.delete(session ?? 0);
  const found = new Map<number, ProcessStat>();
  for await (const pid of unhurried(growing(left))) {
    const stat = stats.get(pid);
    if (stat === undefined || found.has(pid)) continue;
    found.set(pid, stat);
    left.push(...listed(byParent, pid), ...listed(bySession, stat.session));
    bySession.delete(stat.session);
  }
  return new Map([...found].filter(([pid, stat]) => !killed.has(nameOf(pid, stat))));
}

/** Goes through what is added meanwhile, too. */
function* growing<T>(list: readonly T[]): Generator<T, void, undefined> {
  for (let index = 0; index < list.length; index++) yield list[index] as T;
}

function listed(lists: Map<number, number[]>, key: number): number[] {
  const known = lists.get(key);
  if (known !== undefined) return known;
  const list: number[] = [];
  lists.set(key, list);
  return list;
}

function isMarked(pid: number, id: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${CHECK_MARK}=${id}`);
  } catch {
    return false;
  }
}
