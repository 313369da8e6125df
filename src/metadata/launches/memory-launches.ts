import type { MemoryLife } from '../memory/memory-life.js';
import { containerForeign, containerRunning, launchIdTaken } from '../record-errors.js';
import { isInTree } from '../rootfses/container-tree.js';
import { checkedChange } from './launch-change.js';
import {
  EVENTS_KEPT,
  EVENTS_PRUNED_EVERY,
  FORGOTTEN,
  type LaunchChange,
  type LaunchEvent,
  type LaunchEventsWanted,
  type LaunchesWanted,
  type LaunchRecord,
  type LaunchRecords,
  type NewLaunch,
  type NewLaunchEvent,
  type PutLaunch,
  type UnendedLaunch,
} from './launch-records.js';

/** Launches in memory, by the ids of their containers. */
export class MemoryLaunches implements LaunchRecords {
  readonly #life: MemoryLife;
  readonly #rootfsOwner: (containerId: string) => string | undefined;
  readonly #launches = new Map<string, LaunchRecord>();
  readonly #events: LaunchEvent[] = [];
  #sequence = 0;

  /** @param rootfsOwner whose the rootfses of a container are; undefined when it has none */
  constructor(life: MemoryLife, rootfsOwner: (containerId: string) => string | undefined) {
    this.#life = life;
    this.#rootfsOwner = rootfsOwner;
  }

  async putLaunch({ owner: asking, anyOwner, event, place, ...launch }: NewLaunch): Promise<PutLaunch> {
    this.#life.requireOpen();
    const { id, containerId } = launch;
    const last = this.#launches.get(containerId);
    const ofRootfs = this.#rootfsOwner(containerId);
    const owner = ofRootfs ?? last?.owner ?? asking;
    if (owner !== asking && !anyOwner) throw containerForeign(containerId, owner);
    if (last !== undefined && last.state !== 'exited') throw containerRunning(last);
    if (this.#find(id) !== undefined) throw launchIdTaken(id);
    const times = { createdAt: Date.now(), startedAt: undefined, finishedAt: undefined };
    const record: LaunchRecord = { ...launch, owner, state: 'starting', ...times, place, exit: undefined };
    this.#launches.set(containerId, record);
    if (event !== undefined) this.#note({ ...event, containerId, launchId: id, owner });
    return { launch: { ...record }, replaced: last?.id, hadRootfs: ofRootfs !== undefined };
  }

  async changeLaunch(id: string, change: LaunchChange): Promise<boolean> {
    this.#life.requireOpen();
    const { from, to, startedAt, finishedAt, place, exit, cause, event } = checkedChange(id, change, Date.now());
    const launch = this.#find(id);
    if (launch === undefined || !from.includes(launch.state)) return false;
    const { containerId, owner } = launch;
    this.#launches.set(containerId, {
      ...launch,
      state: to ?? launch.state,
      startedAt: startedAt ?? launch.startedAt,
      finishedAt: finishedAt ?? launch.finishedAt,
      place: place === undefined ? launch.place : (place ?? undefined),
      exit: exit ?? launch.exit,
    });
    for (const note of [cause, event]) {
      if (note !== undefined) this.#note({ ...note, containerId, launchId: id, owner });
    }
    return true;
  }

  async getLaunch(containerId: string): Promise<LaunchRecord | undefined> {
    this.#life.requireOpen();
    const launch = this.#launches.get(containerId);
    return launch && { ...launch };
  }

  async listLaunches({ owner, states }: LaunchesWanted = {}): Promise<LaunchRecord[]> {
    this.#life.requireOpen();
    return this.#sorted()
      .filter((launch) => (owner === undefined || launch.owner === owner) && (states?.includes(launch.state) ?? true))
      .map((launch) => ({ ...launch }));
  }

  async unendedLaunches(top: string): Promise<UnendedLaunch[]> {
    this.#life.requireOpen();
    return this.#sorted()
      .filter(({ containerId, state }) => isInTree(containerId, top) && state !== 'exited')
      .map(({ id, containerId, state }) => ({ id, containerId, state }))
      .reverse();
  }

  async forgetLaunches(containerId: string, id?: string): Promise<boolean> {
    this.#life.requireOpen();
    const launch = this.#launches.get(containerId);
    if (launch === undefined || (id ?? launch.id) !== launch.id) return false;
    this.#forget(launch);
    return true;
  }

  async noteLaunchEvent(event: NewLaunchEvent): Promise<void> {
    this.#life.requireOpen();
    this.#note(event);
  }

  async launchEvents({ since, after = 0, limit }: LaunchEventsWanted): Promise<LaunchEvent[]> {
    this.#life.requireOpen();
    return this.#events
      .filter(({ sequence, at }) => sequence > after && (since === undefined || at >= since))
      .slice(0, limit)
      .map((event) => ({ ...event }));
  }

  async newestLaunchEvent(): Promise<number> {
    this.#life.requireOpen();
    return this.#sequence;
  }

  // For other sections, within their calls.

  /** Forgets what has ended in containers that have no rootfs any more. */
  forgetEnded(containerIds: Iterable<string>): void {
    for (const id of containerIds) {
      const launch = this.#launches.get(id);
      if (launch?.state === 'exited' && this.#rootfsOwner(id) === undefined) this.#forget(launch);
    }
  }

  #find(id: string): LaunchRecord | undefined {
    return [...this.#launches.values()].find((launch) => launch.id === id);
  }

  /** By container id, in byte order, which for ASCII is that of the language. */
  #sorted(): LaunchRecord[] {
    return [...this.#launches.values()].sort((one, other) => (one.containerId < other.containerId ? -1 : 1));
  }

  #forget({ containerId, id: launchId, owner }: LaunchRecord): void {
    this.#launches.delete(containerId);
    this.#note({ kind: FORGOTTEN, containerId, launchId, owner });
  }

  #note({ containerId, launchId, owner, kind, details }: NewLaunchEvent): void {
    this.#sequence++;
    this.#events.push({ sequence: this.#sequence, at: Date.now(), containerId, launchId, owner, kind, details });
    if (this.#sequence % EVENTS_PRUNED_EVERY !== 0) return;
    this.#events.splice(0, Math.max(0, this.#events.length - EVENTS_KEPT));
  }
}
