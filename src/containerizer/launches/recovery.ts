import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crashPoint } from '../../base/crash-points.js';
import { systemCode } from '../../base/errors.js';
import type { LaunchRecord, LaunchState } from '../../index.js';
import { ContainerCgroup } from '../cgroups/container-cgroup.js';
import { listLaunches, removeParent } from '../cgroups/launches.js';
import type { ContainerRecovery, RecoverContainersOptions } from '../containerizer.js';
import { removeLeftPlaces } from '../execs/exec-places.js';
import type { Isolator } from '../isolators/isolator.js';
import type { Machine } from '../machine.js';
import { readOrEmpty } from '../read-or-empty.js';
import { namesInOwnPlace, removeFromOwnPlace } from '../runtime/own-place.js';
import type { Halts } from './beginnings/halts.js';
import type { Controls } from './controls.js';
import type { Endings } from './endings.js';
import type { KeptSpec } from './kept/kept-spec.js';
import { launchDirectories, namesIn } from './kept/launch-directories.js';
import { isHalfStarted, isOwnLaunch, readExitNote, readPlaceNote, readSpecNote } from './kept/launch-notes.js';
import { secretsPlace } from './secrets.js';

const UNENDED: readonly LaunchState[] = ['starting', 'created', 'running', 'paused', 'undead'];
/** Milliseconds for which a directory may be there before it is held. */
const BEING_MADE = 600_000;

/** A container whose first launch came to nothing, and that was not removed whole. Of one that was held at its gate it is known who that is. */
const isUndone = ({ spec, place, startedAt, exit }: LaunchRecord) =>
  startedAt === undefined &&
  readPlaceNote(place)?.pid === undefined &&
  readSpecNote(spec).again !== true &&
  readExitNote(exit)?.reason !== 'forked';

type Report = { readonly [Name in Exclude<keyof ContainerRecovery, 'failed' | 'store'>]: string[] };

/**
 * Puts right what a crash or a reboot left, by three questions to each launch that has not ended: is somebody at it (its lock), has it said how it ended (its exit file), was it
 * before the last boot?
 *
 * | recorded as | its lock | its exit file | so it is | and |
 * |---|---|---|---|---|
 * | `starting` | held | – | being started, when somebody holds the lock `watched` too | left alone |
 * | `starting` | held | – | started by somebody who has died since | undone |
 * | `running`, `paused` | held | – | running | watched again |
 * | any | free | there | ended | recorded, and removed if that is to be |
 * | `starting` | free | – | half started | undone |
 * | `running`, `paused` | free | – | its monitor was killed, or the machine went down | ended, and recorded as lost |
 * | `created` | held | – | waiting at its gate, and not among those that are known | ended, and destroyed with the others |
 * | `exited`, to be removed | free | – | ended, and half removed | removed |
 *
 * Then goes what no record names: directories of launches that nobody is at, cgroups and notes of the runtime.
 */
export class LaunchRecovery {
  readonly #machine: Machine;
  readonly #endings: Endings;
  readonly #isolators: Isolator;
  readonly #controls: Controls;
  readonly #halts: Halts;

  constructor(machine: Machine, endings: Endings, isolators: Isolator, controls: Controls, halts: Halts) {
    this.#halts = halts;
    this.#machine = machine;
    this.#endings = endings;
    this.#isolators = isolators;
    this.#controls = controls;
  }

  async run({ knownContainerIds }: RecoverContainersOptions, owner: string): Promise<ContainerRecovery> {
    const { provisioner } = this.#machine;
    const report: Report = { running: [], ended: [], lost: [], undone: [], removed: [], swept: [] };
    const failed: { containerId: string; error: unknown }[] = [];
    const mine = (await provisioner.launches.list({ owner })).filter(isOwnLaunch);
    for (const launch of mine) {
      try {
        removeLeftPlaces(this.#endings.directory(launch.id), this.#machine.syscalls);
        await this.#one(launch, report, knownContainerIds);
      } catch (error) {
        failed.push({ containerId: launch.containerId, error });
      }
    }
    await this.#endings.settled();
    crashPoint('launch.recovered');
    // What lives counts as known, whoever asks.
    const store = await provisioner.recover({ knownContainerIds });
    await this.#sweep(report.swept);
    report.swept.push(...(await this.#isolators.recover(() => this.#unended())));
    await this.#followFreezers(owner);
    return { ...report, store, failed };
  }

  async #one(launch: LaunchRecord, report: Report, known: readonly string[] | undefined): Promise<void> {
    const { containerId, id, state } = launch;
    if (state === 'exited') {
      const halfRemoved = launch.removal === 'remove' || isUndone(launch);
      // Whoever watches it may still be reading what it has printed.
      if (!halfRemoved || this.#endings.isAttended(id) || this.#endings.isWatched(id)) return;
      if (isUndone(launch)) await this.#endings.undo(launch, await this.#rootfsMadeBy(launch));
      else await this.#endings.remove(containerId, id);
      report.removed.push(containerId);
      return;
    }
    const isAttended = launch.bootId === this.#machine.bootId && this.#endings.isAttended(id);
    const isWatched = this.#endings.isWatched(id);
    // Whoever was at it when the record was read may have gone on since: what counts is what it says after the look at who is at it.
    const now = await this.#machine.provisioner.launches.get(containerId);
    if (now?.id !== id) return;
    if (now.state !== state) return this.#one(now, report, known);
    if (isAttended) {
      // Nothing of it has run: it goes like what was provisioned only.
      const isUnknown = state === 'created' && known !== undefined && !known.includes(containerId);
      if (state !== 'starting' && !isUnknown) {
        void this.#endings.watch(launch);
        report.running.push(containerId);
        return;
      }
      // Whoever started it died before anybody was told: it is ended, and its monitor with it.
      if (!isUnknown && isWatched) return;
      await this.#endings.endStarting(launch);
    }
    const ended = await this.#endings.finished(launch);
    if (ended.state === 'undead') {
      // It is ended again until it dies.
      void this.#endings.watch(launch);
      report.running.push(containerId);
      return;
    }
    if (isHalfStarted(launch)) {
      // A container that has run before stays.
      if (readSpecNote(launch.spec).again !== true) {
        await this.#endings.undo(launch, await this.#rootfsMadeBy(launch));
      }
      report.undone.push(containerId);
      return;
    }
    const reason = readExitNote(ended.exit)?.reason;
    const isLost = reason === 'monitor-lost' || reason === 'lost-by-reboot';
    (isLost ? report.lost : report.ended).push(containerId);
    if (launch.removal === 'remove') report.removed.push(containerId);
  }

  /** The root filesystem that a launch has made of which nothing more is known: one of its owner's that is not older than it, where there is but one. */
  async #rootfsMadeBy({ id, containerId, owner, createdAt }: LaunchRecord): Promise<string | undefined> {
    const rootfses = (await this.#machine.provisioner.containers.get(containerId))?.rootfses ?? [];
    const kept = readOrEmpty(this.#endings.directory(id).spec);
    const known = kept === '' ? undefined : (JSON.parse(kept) as KeptSpec).root.id;
    const made = rootfses.filter((one) => one.owner === owner && one.createdAt >= createdAt);
    return known ?? (made.length === 1 ? made[0]?.id : undefined);
  }

  async #unended(): Promise<ReadonlySet<string>> {
    const launches = await this.#machine.provisioner.launches.list({ states: UNENDED });
    return new Set(launches.map(({ id }) => id));
  }

  /** Whoever halted what runs, or let it go on, may have died before that was recorded. What cannot be looked at now is with the next look. */
  async #followFreezers(owner: string): Promise<void> {
    const mine = (await this.#machine.provisioner.launches.list({ owner })).filter(isOwnLaunch);
    for (const launch of mine) {
      const followed = this.#controls.followFreezer(launch).then((now) => this.#halts.upToDate(now));
      await followed.catch(() => undefined);
    }
  }

  /** Its directory has just been made, as far as anybody can tell: nothing of it is held yet. */
  #isBeingMade(launchId: string): boolean {
    const directory = this.#endings.directory(launchId);
    if (existsSync(directory.alive)) return false;
    const made = statSync(directory.path, { throwIfNoEntry: false });
    return made !== undefined && Math.abs(Date.now() - made.mtimeMs) < BEING_MADE;
  }

  /** Only what is this store's own. Another process may start launches meanwhile, and see their ends: whoever is looked for in the records was there before, and nobody was at it then. */
  async #sweep(swept: string[]): Promise<void> {
    const { provisioner, hierarchies, parent, stateRoots, surroundings } = this.#machine;
    const launches = launchDirectories(provisioner);
    const places = stateRoots.flatMap((stateRoot) => [
      { directory: stateRoot, what: 'runtime' },
      { directory: secretsPlace({ stateRoot }), what: 'secrets' },
    ]);
    const isLeft = (id: string) => /^[0-9a-f]{32}$/.test(id) && !this.#endings.isAttended(id);
    const left = {
      cgroups: listLaunches(hierarchies, parent).filter(isLeft),
      directories: places.flatMap(({ directory, what }) =>
        namesInOwnPlace(directory)
          .filter(isLeft)
          .map((id) => ({ directory, id, what })),
      ),
      // In this order: what is held in between is seen to be held.
      launches: namesIn(launches).filter((id) => !this.#isBeingMade(id) && isLeft(id)),
    };
    const recorded = new Set((await provisioner.launches.list()).map(({ id }) => id));
    const isNobodys = (id: string) => !recorded.has(id);
    for (const id of left.cgroups.filter(isNobodys)) {
      const cgroup = new ContainerCgroup(hierarchies, `${parent}/${id}`, surroundings);
      cgroup.killAll('SIGKILL');
      try {
        await cgroup.remove();
        swept.push(`cgroup ${id}`);
      } catch {
        // What does not die now is looked at the next time.
      }
    }
    // What cannot be taken away now is looked at the next time too: it is in nobody's way.
    const take = (what: string, remove: () => void) => {
      try {
        remove();
        swept.push(what);
      } catch (error) {
        if (systemCode(error) === undefined) throw error;
      }
    };
    for (const { directory, id, what } of left.directories.filter((one) => isNobodys(one.id)))
      take(`${what} ${id}`, () => removeFromOwnPlace(directory, id));
    for (const id of left.launches.filter(isNobodys))
      take(`launch ${id}`, () => rmSync(join(launches, id), { recursive: true, force: true }));
    if (recorded.size === 0) removeParent(hierarchies, parent);
  }
}
