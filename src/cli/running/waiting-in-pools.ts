import type { Provisioner } from '../../index.js';

/** As the containerizer calls it, which is loaded only where something waits: most stores have no pools. */
const WARM = 'warm';

/** Whether containers wait in pools, of whatever owner. */
export async function hasWarm({ holdings }: Provisioner): Promise<boolean> {
  return (await holdings.list({ kind: WARM })).length > 0;
}

/** By the ids of containers that wait: the names of their pools. */
export async function poolsOf(provisioner: Provisioner): Promise<ReadonlyMap<string, string>> {
  if (!(await hasWarm(provisioner))) return new Map();
  const { warmContainers } = await import('../../containerizer/index.js');
  const waiting = (await warmContainers(provisioner)).filter(({ isTaken }) => !isTaken);
  return new Map(waiting.map(({ containerId, pool }) => [containerId, pool]));
}
