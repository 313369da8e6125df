import type { ContainerHolder, LaunchRecord } from '../../index.js';
import type { LaunchLookup } from './lookup/launch-lookup.js';

/**
 * What the store asks before it destroys containers: what runs holds them.
 * @param end ends what has not ended
 */
export function launchHolder(
  lookup: Pick<LaunchLookup, 'recorded' | 'all'>,
  end: (launch: LaunchRecord) => Promise<void>,
): ContainerHolder {
  return {
    running: async (containerId) => {
      const found = await lookup.recorded(containerId);
      return found === undefined || found.state === 'exited' ? undefined : `its program is ${found.state}`;
    },
    end: async (containerId) => {
      const found = await lookup.recorded(containerId);
      if (found !== undefined) await end(found);
    },
    held: async () => {
      const all = await lookup.all();
      return all.filter(({ state }) => state !== 'exited').map(({ containerId }) => containerId);
    },
  };
}
