import type { ContainerHolder, LaunchRecord } from '../../index.js';

/** What is known here of launches. */
export interface LaunchesHere {
  readonly launch: (containerId: string) => Promise<LaunchRecord | undefined>;
  readonly launches: () => Promise<readonly LaunchRecord[]>;
  /** Ends what has not ended. */
  readonly end: (launch: LaunchRecord) => Promise<void>;
}

/** What the store asks before it destroys containers: what runs holds them. */
export function launchHolder({ launch, launches, end }: LaunchesHere): ContainerHolder {
  return {
    running: async (containerId) => {
      const found = await launch(containerId);
      return found === undefined || found.state === 'exited' ? undefined : `its program is ${found.state}`;
    },
    end: async (containerId) => {
      const found = await launch(containerId);
      if (found !== undefined) await end(found);
    },
    held: async () => {
      const all = await launches();
      return all.filter(({ state }) => state !== 'exited').map(({ containerId }) => containerId);
    },
  };
}
