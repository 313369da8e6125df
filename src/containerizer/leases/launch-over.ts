import { setTimeout as sleep } from 'node:timers/promises';
import type { HoldingRecord } from '../../index.js';
import type { Launch } from '../containerizer.js';
import { endStarting, isAbandoned } from '../launches/ends/end-starting.js';
import { isAttended } from '../launches/ends/launch-watch.js';
import { endAll } from '../launches/ends/remains.js';
import { LaunchDirectory } from '../launches/kept/launch-directory.js';
import type { Machine } from '../machine.js';
import { detailsOf } from './choose-leases.js';

/** Two seconds for whoever is at a launch to be done with it. */
const LOOKS = 400;
const PAUSE = 5;

/**
 * Whether nothing of the launch that holds something lives any more. An end that nobody has seen yet is seen by that, and recorded, as `list` does.
 * @param get of the containerizer
 */
export async function isLaunchOver(
  machine: Machine,
  get: (containerId: string) => Promise<Launch | undefined>,
  holding: HoldingRecord,
): Promise<boolean> {
  const { provisioner, syscalls, bootId } = machine;
  const { holder = '' } = holding;
  const { containerId } = detailsOf(holding);
  const directory = new LaunchDirectory(provisioner.launches.directory(holder));
  const recorded = async () => {
    const launch = containerId === undefined ? undefined : await provisioner.launches.get(containerId);
    return launch?.id === holder ? launch : undefined;
  };
  const isBeingStarted = await recorded().then((launch) => launch?.state === 'starting');
  if (isBeingStarted) {
    const isHere = isAttended(directory, syscalls);
    const isLeft = isAbandoned(directory, machine);
    // Whoever started it may have gone on since its record was read.
    const now = await recorded();
    if (now?.state !== 'starting') return isLaunchOver(machine, get, holding);
    if (now.bootId === bootId && isHere) {
      if (!isLeft) return false;
      // Its monitor waits at its gate for whoever was to let its program go.
      await endStarting(machine, now);
    }
    // Whoever started it has died. What it has made is undone by the next recovery; that nothing of it runs is seen to now.
    return (await endAll(machine, now)).length === 0;
  }
  if (containerId !== undefined) {
    const launch = await get(containerId);
    if (launch?.launchId === holder && launch.state !== 'exited') return false;
  }
  // A launch that was called off goes on until whoever starts it finds that out, and a monitor is there for a moment longer than its program.
  for (let looks = 0; looks < LOOKS; looks++) {
    if (!isAttended(directory, syscalls)) return true;
    await sleep(PAUSE);
  }
  return false;
}
