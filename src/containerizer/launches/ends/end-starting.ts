import { anySignal } from '../../../base/any-signal.js';
import type { LaunchRecord } from '../../../index.js';
import type { Machine } from '../../machine.js';
import { endMonitors } from '../../processes/end-monitors.js';
import { LaunchDirectory } from '../kept/launch-directory.js';
import { isAttended, isWatched, launchEnded } from './launch-watch.js';
import { endAll } from './remains.js';
import { recordUndead } from './undead.js';

/** Milliseconds that a monitor has to see the end of what it watches, and until that is ended once more. */
const ENDING = 10_000;
const END_AGAIN = 200;

/** Whether a monitor waits for somebody who has died while he started its launch. Whoever asks looks after that whether the launch is `starting` still. */
export const isAbandoned = (directory: LaunchDirectory, { syscalls }: Pick<Machine, 'syscalls'>): boolean =>
  isAttended(directory, syscalls) && !isWatched(directory, syscalls);

/**
 * Ends a launch whose monitor is at it, and nobody who would be told of its start: with the runtime that is still at work, and the hooks that this waits for. It is ended again until nobody is at it.
 * @throws ProvisionerError `ERR_CONTAINER_UNDEAD` when that takes longer than ten seconds
 */
export async function endStarting(machine: Machine, launch: LaunchRecord): Promise<void> {
  const { processes, provisioner, syscalls } = machine;
  const directory = new LaunchDirectory(provisioner.launches.directory(launch.id));
  const late = AbortSignal.timeout(ENDING);
  for (;;) {
    // What has been made and waits at its gate has a monitor that tells its end.
    if (launch.state === 'starting') await endMonitors(processes, launch.id);
    await endAll(machine, launch);
    try {
      return await launchEnded(directory, syscalls, { signal: anySignal([late, AbortSignal.timeout(END_AGAIN)]) });
    } catch {
      if (late.aborted) throw await recordUndead(machine, launch, []);
    }
  }
}
