import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileError, isProvisionerError, systemCode } from '../../../base/errors.js';
import type { LaunchRecord } from '../../../index.js';
import { ContainerCgroup } from '../../cgroups/container-cgroup.js';
import type { Machine } from '../../machine.js';
import { removeFromOwnPlace } from '../../runtime/own-place.js';
import type { LaunchDirectory } from '../kept/launch-directory.js';
import { readPlaceNote } from '../kept/launch-notes.js';
import { secretsPlace } from '../secrets.js';
import { isAttended } from './launch-watch.js';

/** Two seconds for a monitor to take away what it has to. */
const MONITOR_LOOKS = 400;
const MONITOR_PAUSE = 5;
/** Half a second in which a runtime that was killed in the middle of its work has done with it. */
const NOTES_LOOKS = 25;
const NOTES_PAUSE = 20;

/**
 * Kills whatever runs in a launch's cgroups, and takes these and the runtime's notes away.
 * @returns the processes that do not die; then their cgroups stay
 */
export async function endAll(machine: Machine, launch: LaunchRecord): Promise<number[]> {
  const place = readPlaceNote(launch.place);
  if (place === undefined || launch.bootId !== machine.bootId) return [];
  const cgroup = new ContainerCgroup(machine.hierarchies, place.cgroupsPath, machine.surroundings);
  for (let looks = 0; ; looks++) {
    try {
      removeNotes(place.stateRoot, launch.id);
      break;
    } catch (error) {
      // A runtime is writing there just now, which may be in the cgroup already.
      if (systemCode(error) !== 'ENOTEMPTY' || looks === NOTES_LOOKS)
        throw fileError(error, 'take away what a runtime notes', place.stateRoot);
      cgroup.killAll('SIGKILL');
      await sleep(NOTES_PAUSE);
    }
  }
  cgroup.killAll('SIGKILL');
  try {
    await cgroup.remove();
    return [];
  } catch (error) {
    if (!isProvisionerError(error, 'ERR_CGROUP_BUSY')) throw error;
    return cgroup.processes();
  }
}

/** Of a launch that no record names any more: what it has left, its directory last. What stays even now, the next recovery takes. */
export async function takeAway(machine: Machine, directory: LaunchDirectory, launchId: string): Promise<void> {
  // A monitor writes into the directory until its last moment.
  for (let looks = 0; looks < MONITOR_LOOKS && isAttended(directory, machine.syscalls); looks++) {
    await sleep(MONITOR_PAUSE);
  }
  if (!isAttended(directory, machine.syscalls)) await clean(machine, launchId);
  rmSync(directory.path, { recursive: true, force: true });
}

/** What a monitor that was killed did not take away any more. */
async function clean({ hierarchies, parent, surroundings, stateRoots }: Machine, launchId: string): Promise<void> {
  for (const stateRoot of stateRoots) removeNotes(stateRoot, launchId);
  const cgroup = new ContainerCgroup(hierarchies, `${parent}/${launchId}`, surroundings);
  if (!cgroup.exists()) return;
  cgroup.killAll('SIGKILL');
  await cgroup.remove().catch(() => undefined);
}

/** What is kept of a launch for the uptime of the machine, beside its cgroups. */
function removeNotes(stateRoot: string, launchId: string): void {
  removeFromOwnPlace(stateRoot, launchId);
  removeFromOwnPlace(secretsPlace({ stateRoot }), launchId);
}
