import type { LaunchRecord } from '../../../index.js';
import { ContainerCgroup } from '../../cgroups/container-cgroup.js';
import type { Isolator } from '../../isolators/isolator.js';
import type { Machine } from '../../machine.js';
import { readPlaceNote } from '../kept/launch-notes.js';

/**
 * Has what isolates a launch attend to it. What fails is not told: it is attended to by whoever watches it next.
 * @returns no more of it; resolves when nothing of it is under way any more
 */
export function attend(machine: Machine, isolators: Isolator, launch: LaunchRecord): () => Promise<void> {
  const over = new AbortController();
  const cgroup = () => {
    const place = readPlaceNote(launch.place);
    if (place === undefined || launch.bootId !== machine.bootId) return undefined;
    return new ContainerCgroup(machine.hierarchies, place.cgroupsPath, machine.surroundings);
  };
  const container = { processes: () => cgroup()?.processes() ?? [], end: () => void cgroup()?.killAll('SIGKILL') };
  const attending = isolators.attend?.(launch, over.signal, container).catch(() => undefined) ?? Promise.resolve();
  return () => {
    over.abort();
    return attending;
  };
}
