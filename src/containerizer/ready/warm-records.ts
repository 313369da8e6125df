import type { HoldingRecord, Provisioner } from '../../index.js';

/** Holdings of this kind are containers that wait to be handed out, by their ids: held for nobody, until they are for whoever has got them. */
export const WARM = 'warm';
/**
 * Who has a container that is just being handed out, or done away with, until all that is recorded of it has gone. Whoever finds it so after that one has died does away with it: nobody has got it, but for what was held at its gate and has been let go.
 */
const TAKEN = 'taken';

/** Holdings of this kind ask pools to make nothing until somebody finds none: what they kept ready had to make room. By the names that `poolName` gives. */
const HOLD_BACK = 'warm-hold-back';

/** What is known of a container that waits to be handed out. */
export interface WarmNote {
  readonly pool: string;
  readonly owner: string;
  /** `created`: it waits at its gate. `generic`: its program runs, and waits for work. `rootfs`: nothing was launched in it. */
  readonly kind: 'created' | 'generic' | 'rootfs';
  /** What it was made as: containers with the same one can stand for each other. 64 hex digits. */
  readonly key: string;
}

export interface WarmRecord extends WarmNote {
  readonly containerId: string;
  /** Of the boot in which it was made. */
  readonly bootId: string;
  /** When it was recorded: right before it is made; milliseconds since the epoch. */
  readonly since: number;
  /** Somebody has it, or does away with it; what is recorded of that follows. */
  readonly isTaken: boolean;
}

/** All that wait, of all owners and pools, sorted by id, and those that are just being taken. */
export async function warmContainers({ holdings }: Pick<Provisioner, 'holdings'>): Promise<WarmRecord[]> {
  return (await holdings.list({ kind: WARM })).flatMap((one) => warmRecordOf(one) ?? []);
}

/** @returns undefined for what a later release may have written */
function warmRecordOf({ name, holder, bootId, since, details }: HoldingRecord): WarmRecord | undefined {
  try {
    const { pool, owner, kind, key } = Object(JSON.parse(details ?? 'null')) as Partial<WarmNote>;
    if (typeof pool !== 'string' || typeof owner !== 'string' || typeof key !== 'string') return undefined;
    if (kind !== 'created' && kind !== 'generic' && kind !== 'rootfs') return undefined;
    return { containerId: name, pool, owner, kind, key, bootId, since, isTaken: holder !== undefined };
  } catch {
    return undefined;
  }
}

/** In one step among all processes: of two that want the same one gets it. @returns false where somebody else has it, or it is recorded no more */
export function takeWarm({ holdings }: Pick<Provisioner, 'holdings'>, containerId: string): Promise<boolean> {
  return holdings.change({ kind: WARM, name: containerId }, { from: null, holder: TAKEN });
}

/** The same of what one has taken who has died since. @returns false where that has been done with */
export function takeWarmOfDead({ holdings }: Pick<Provisioner, 'holdings'>, containerId: string): Promise<boolean> {
  return holdings.change({ kind: WARM, name: containerId }, { from: TAKEN });
}

/** In one step among all processes: whether it is recorded still, and nobody has it. */
export function isWaiting({ holdings }: Pick<Provisioner, 'holdings'>, containerId: string): Promise<boolean> {
  return holdings.change({ kind: WARM, name: containerId }, { from: null });
}

/** Whoever has it. */
export async function forgetWarm({ holdings }: Pick<Provisioner, 'holdings'>, containerId: string): Promise<void> {
  const key = { kind: WARM, name: containerId };
  await holdings.release([
    { ...key, holder: undefined },
    { ...key, holder: TAKEN },
  ]);
}

/** The name of a pool among those of all owners: its own has no space. */
export const poolName = ({ pool, owner }: Pick<WarmNote, 'pool' | 'owner'>): string => `${pool} ${owner}`;

/** Whoever keeps the pool makes nothing until somebody finds none there. */
export async function askToHoldBack(
  { holdings }: Pick<Provisioner, 'holdings'>,
  record: Pick<WarmRecord, 'pool' | 'owner' | 'bootId'>,
): Promise<void> {
  await holdings.take({ bootId: record.bootId }, [{ kind: HOLD_BACK, names: [poolName(record)] }]);
}

/** @returns whether somebody has asked since the last time */
export async function isToHoldBack(
  { holdings }: Pick<Provisioner, 'holdings'>,
  pool: Pick<WarmNote, 'pool' | 'owner'>,
): Promise<boolean> {
  const asked = (await holdings.list({ kind: HOLD_BACK })).filter(({ name }) => name === poolName(pool));
  if (asked.length > 0) await holdings.release(asked);
  return asked.length > 0;
}

/** What was asked of an owner's pools that nobody keeps. @param kept names of those that somebody does, as `poolName` gives them */
export async function forgetHoldBacks(
  { holdings, owner }: Pick<Provisioner, 'holdings' | 'owner'>,
  kept: ReadonlySet<string>,
): Promise<void> {
  const asked = await holdings.list({ kind: HOLD_BACK });
  const isOwn = (name: string) => name.slice(name.indexOf(' ') + 1) === owner;
  await holdings.release(asked.filter(({ name }) => isOwn(name) && !kept.has(name)));
}
