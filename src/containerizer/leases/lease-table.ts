import { ProvisionerError } from '../../base/errors.js';
import type { HoldingRecord, Provisioner } from '../../index.js';
import { printCpuList } from '../cgroups/limits/cpu-list.js';
import type { Lease } from '../containerizer.js';
import {
  type ChosenLeases,
  CPU,
  CPU_USE,
  chooseLeases,
  DEVICE,
  DEVICE_USE,
  detailsOf,
  type Held,
  heldOf,
  holdingsOf,
  KINDS,
  type Lacking,
  type LeaseWishes,
} from './choose-leases.js';

/** Who is to have something. */
export interface Leaseholder {
  /** The id of a launch, which is asked whether it has ended; or a word of whoever reserves something, and gives it back himself: anything but 32 hex digits. */
  readonly holder: string;
  /** Of a launch. */
  readonly containerId?: string | undefined;
}

/** What is named without being leased. */
interface Used {
  readonly cpus: readonly number[];
  /** Identities. */
  readonly devices: ReadonlySet<string>;
}

/** Whether a launch holds something; others are words of whoever reserves. */
export const isLaunchId = (holder: string | undefined): holder is string => /^[0-9a-f]{32}$/.test(holder ?? '');

/**
 * Who has which processors and devices for himself, among all processes that work with a store.
 *
 *     free ─take─► held by a word ─handOver─► held by a launch ─giveBack─► free
 *       └───────────────── take ─────────────────►┘
 *
 * Beside that it knows what launches name without leasing it: many may use one thing, and while one does nobody leases it.
 */
export class LeaseTable {
  readonly #holdings: Provisioner['holdings'];
  readonly #bootId: string;
  readonly #isOver: (holding: HoldingRecord) => Promise<boolean>;

  /** @param isOver whether nothing of a launch that holds something lives any more: looked up when it is in somebody's way */
  constructor(holdings: Provisioner['holdings'], bootId: string, isOver: (holding: HoldingRecord) => Promise<boolean>) {
    this.#holdings = holdings;
    this.#bootId = bootId;
    this.#isOver = isOver;
  }

  /** Takes all that is wished for, or nothing, in one step. @throws ProvisionerError `ERR_LEASED` */
  async take(taker: Leaseholder, wishes: LeaseWishes): Promise<ChosenLeases> {
    // Each round somebody else was faster, or what was held has been given back.
    for (;;) {
      const choice = chooseLeases(wishes, await this.#ofOthers(taker.holder));
      if ('chosen' in choice) {
        if (await this.#takeChosen(taker, choice.chosen)) return choice.chosen;
      } else if (!(await this.#freed(choice.lacking.held.map(({ record }) => record)))) throw leased(choice.lacking);
    }
  }

  /** Who uses it records that before he looks whether it is leased, and here it is the other way round: so of two at once none overlooks the other. */
  async #takeChosen({ holder, containerId }: Leaseholder, chosen: ChosenLeases): Promise<boolean> {
    const taker = { holder, bootId: this.#bootId };
    const { taken } = await this.#holdings.take(taker, holdingsOf(chosen, containerId));
    if (taken === undefined) return false;
    const own = new Set(taken.map(({ kind, name }) => `${kind} ${name}`));
    const users = (await this.#ofOthers(holder)).filter(({ kind, name }) => own.has(`${kind} ${name}`));
    if (users.length === 0) return true;
    await this.#holdings.release(taken);
    return false;
  }

  /**
   * Records what somebody uses without having leased it: nobody may lease it then, and whoever has leased it keeps it from him.
   * @returns gives back what was recorded now @throws ProvisionerError `ERR_LEASED`
   */
  async use({ holder, containerId }: Leaseholder, { cpus, devices }: Used): Promise<() => Promise<void>> {
    const own = (await this.#held(holder)).map(heldOf);
    const known = new Set(own.map(({ kind, name }) => `${kind} ${name}`));
    const wanted = (kind: string, useKind: string, names: readonly string[]) => ({
      kind: useKind,
      names: names.filter((name) => !known.has(`${kind} ${name}`)).map((name) => `${name} ${holder}`),
      details: JSON.stringify({ containerId }),
    });
    const wishes = [wanted(CPU, CPU_USE, cpus.map(String)), wanted(DEVICE, DEVICE_USE, [...devices])];
    const isNew = wishes.some(({ names }) => names.length > 0);
    const { taken = [] } = isNew ? await this.#holdings.take({ holder, bootId: this.#bootId }, wishes) : {};
    const giveBack = () => this.#holdings.release(taken);
    const isUsed = ({ kind, name, isLeased }: Held) =>
      isLeased && (kind === CPU ? cpus.includes(Number(name)) : devices.has(name));
    for (;;) {
      const held = (await this.#ofOthers(holder)).filter(isUsed);
      const [first] = held;
      if (first === undefined) return giveBack;
      if (await this.#freed(held.map(({ record }) => record))) continue;
      await giveBack();
      throw leased({ what: nameOf(first), held });
    }
  }

  /** Of the processors that somebody uses, those that he uses no more. */
  async useOnly(holder: string, cpus: readonly number[]): Promise<void> {
    const used = await this.#holdings.list({ kind: CPU_USE, holder });
    await this.#holdings.release(used.filter((one) => !cpus.includes(Number(heldOf(one).name))));
  }

  /** What was reserved under a word goes to a launch. Safe to repeat. */
  async handOver(from: string, { holder, containerId }: Leaseholder): Promise<void> {
    for (const one of await this.#held(from)) {
      const details = JSON.stringify({ ...detailsOf(one), containerId });
      await this.#holdings.change(one, { from, holder, details });
    }
  }

  /** What a holder has. */
  async of(holder: string): Promise<ChosenLeases> {
    return leasesIn(await this.#held(holder));
  }

  async giveBack(holder: string): Promise<void> {
    const held = await this.#held(holder);
    if (held.length > 0) await this.#holdings.release(held);
  }

  /** Gives back what launches hold that are over. @returns what that was, a word and a name each */
  async giveBackAll(unended: () => Promise<ReadonlySet<string>>): Promise<string[]> {
    const held = (await this.#held()).filter(({ holder }) => isLaunchId(holder));
    if (held.length === 0) return [];
    const living = await unended();
    const left = held.filter(({ holder }) => !living.has(holder ?? ''));
    await this.#holdings.release(left);
    return left.map(heldOf).map((one) => `${one.isLeased ? 'lease' : 'use'} of ${nameOf(one)}`);
  }

  /** By their holders. What launches hold that are over is given back before. */
  async list(): Promise<Lease[]> {
    await this.#freed(await this.#held());
    const held = (await this.#held()).filter((one) => heldOf(one).isLeased);
    const byHolder = groupedBy(held, ({ holder = '' }) => holder);
    const leases = [...byHolder].map(([holder, held]): Lease => {
      const { cpus, devices } = leasesIn(held);
      return {
        holder,
        containerId: held.map((one) => detailsOf(one).containerId).find((id) => id !== undefined),
        since: Math.min(...held.map(({ since }) => since)),
        cpus: cpus.length === 0 ? undefined : printCpuList(cpus),
        devices: devices.map(({ name }) => name),
      };
    });
    const keyOf = ({ containerId, holder }: Lease) => containerId ?? holder;
    return leases.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
  }

  async #held(holder?: string): Promise<HoldingRecord[]> {
    // Of one holder there are few, of whatever kind.
    if (holder !== undefined) {
      const own = await this.#holdings.list({ holder });
      return own.filter(({ kind }) => (KINDS as readonly string[]).includes(kind));
    }
    const all = await Promise.all(KINDS.map((kind) => this.#holdings.list({ kind })));
    return all.flat();
  }

  async #ofOthers(holder: string): Promise<Held[]> {
    return (await this.#held()).filter((one) => one.holder !== holder).map(heldOf);
  }

  /** Looks at those who hold something, and gives back for those who are over. @returns whether there were any */
  async #freed(held: readonly HoldingRecord[]): Promise<boolean> {
    const byHolder = groupedBy(held, ({ holder }) => holder);
    let isFreed = false;
    for (const [holder, [first]] of byHolder) {
      if (first === undefined || !isLaunchId(holder) || !(await this.#isOver(first))) continue;
      await this.giveBack(holder);
      isFreed = true;
    }
    return isFreed;
  }
}

function groupedBy<T, Key>(those: readonly T[], keyOf: (one: T) => Key): Map<Key, T[]> {
  const groups = new Map<Key, T[]>();
  for (const one of those) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return groups;
}

function leasesIn(held: readonly HoldingRecord[]): ChosenLeases {
  const devices = held.filter(({ kind }) => kind === DEVICE);
  const byName = groupedBy(devices, (one) => detailsOf(one).device ?? one.name);
  return {
    cpus: held.flatMap(({ kind, name }) => (kind === CPU ? [Number(name)] : [])).sort((one, other) => one - other),
    devices: [...byName].map(([name, those]) => ({ name, identities: those.map((one) => one.name) })),
  };
}

const nameOf = ({ kind, name, record }: Held): string =>
  kind === CPU ? `processor ${name}` : (detailsOf(record).device ?? `device ${name}`);

function leased({ what, held }: Lacking): ProvisionerError {
  const holderOf = ({ record }: Held) => detailsOf(record).containerId ?? record.holder ?? 'nobody';
  const whoOf = (one: Held) => (detailsOf(one.record).containerId === undefined ? '' : 'container ') + holderOf(one);
  const byHolder = groupedBy(held, (one) => `${whoOf(one)} ${one.isLeased ? 'has leased' : 'uses'}`);
  const clauses = [...byHolder].map(([who, those]) => `${who} ${[...new Set(those.map(nameOf))].join(', ')}`);
  return new ProvisionerError('ERR_LEASED', `${what} cannot be had: ${clauses.join('; ')}`, {
    // What is only used stands in no list of leases.
    hint: held.every(({ isLeased }) => isLeased)
      ? '`provisioner leases` shows who has what; it is given back when that container ends'
      : 'it can be leased when what uses it has ended: `provisioner ps` shows what runs',
    details: { what, holders: [...new Set(held.map(holderOf))], held: [...new Set(held.map(nameOf))] },
  });
}
