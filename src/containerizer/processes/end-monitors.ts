import type { Processes } from '../../system/processes/processes.js';
import { attendantsOf, isMonitorOf } from './attendants.js';
import { endFamily } from './end-family.js';

/**
 * Ends the monitor of a launch with all that it has started, and those have: a runtime, a hook that this waits for, the program. What else was left to it counts too, since a monitor takes in what loses its parent.
 */
export async function endMonitors(processes: Processes, launchId: string): Promise<void> {
  for (const pid of attendantsOf(launchId)) {
    // Held first, and looked at then: no other process has its number by now.
    const held = processes.open(pid);
    if (held === undefined) continue;
    try {
      if (isMonitorOf(pid, launchId)) await endFamily(processes, held);
    } finally {
      held.close();
    }
  }
}
