// @ts-check
/* The processes of the containers of a store, as this machine shows them, and their ends. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { loadProcesses } from '#src/system/processes/load-processes.js';
import { processStat } from '#src/system/processes/process-stat.js';

/**
 * `starting`: a runtime that makes a container, or what it has started for that. `executing`: one that runs a program more. `inside`: whatever runs in a container beside its program.
 * @typedef {'monitor' | 'program' | 'starting' | 'executing' | 'inside'} VictimKind
 */

/** @typedef {{ pid: number, startTicks: bigint, kind: VictimKind, launchId: string }} Victim */

const LAUNCH_ID = '[0-9a-f]{32}';

/** @param {string} root @param {string} parent the cgroup of all launches of the store @returns {Victim[]} */
export function victims(root, parent) {
  /** @type {Victim[]} */
  const found = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    // Node.js, this one too, is none.
    const startTicks = pid > 1 ? processStat(pid)?.startTicks : undefined;
    const what = startTicks === undefined ? undefined : kindOf(pid, root, parent);
    if (startTicks !== undefined && what !== undefined) found.push({ pid, startTicks, ...what });
  }
  return found;
}

/** As `kill -9` does, when it is still what it was. @param {Victim} victim @param {string} root @param {string} parent @param {(victim: Victim) => void} note is called just before */
export function killVictim(victim, root, parent, note) {
  const handle = loadProcesses().open(victim.pid, victim.startTicks);
  if (handle === undefined) return false;
  try {
    if (kindOf(victim.pid, root, parent)?.kind !== victim.kind) return false;
    note(victim);
    return handle.send(9);
  } finally {
    handle.close();
  }
}

/** @param {number} pid @param {string} root @param {string} parent @returns {Pick<Victim, 'kind' | 'launchId'> | undefined} */
function kindOf(pid, root, parent) {
  const cgroups = read(`/proc/${pid}/cgroup`);
  const [, inside] = new RegExp(`${parent}/(${LAUNCH_ID})(?:/|$)`, 'm').exec(cgroups) ?? [];
  const place = join(root, 'launches');
  if (inside !== undefined) {
    const program = Number(read(join(place, inside, 'pid')));
    if (program === pid) return { kind: 'program', launchId: inside };
    return { kind: program > 0 ? 'inside' : 'starting', launchId: inside };
  }
  const words = read(`/proc/${pid}/cmdline`);
  const [, at] = new RegExp(`^${place}/(${LAUNCH_ID})$`).exec(workingDirectory(pid)) ?? [];
  if (at !== undefined)
    return { kind: words.startsWith('provisioner-monitor ') ? 'monitor' : 'starting', launchId: at };
  const [, executed] = new RegExp(`${place}/(${LAUNCH_ID})/exec-`).exec(words) ?? [];
  return executed === undefined ? undefined : { kind: 'executing', launchId: executed };
}

/** @param {number} pid */
export function workingDirectory(pid) {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

/** @param {string} path */
export function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
