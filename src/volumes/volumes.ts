import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../base/crash-points.js';
import { fileError, isProvisionerError, ProvisionerError, throwIfAborted } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { unhurried } from '../base/unhurried.js';
import type { MetadataManager, RootfsKey, VolumeRecord } from '../metadata/metadata-manager.js';
import { anonymousVolume } from '../paths.js';
import { requireNothingHidden } from '../store-directory/one-file-system.js';
import type { Liveness } from '../system/locks/liveness.js';
import { orAborted } from '../system/locks/or-aborted.js';
import { type ProcessIdentity, pidOf } from '../system/locks/process-identity.js';
import { type FillNeeds, fillDirectory, removeDeadDrafts } from './fill-directory.js';
import { isVolumeDirectoryThere, makeVolumeDirectory } from './volume-directory.js';

export interface VolumesNeeds extends FillNeeds {
  readonly metadata: MetadataManager;
  readonly liveness: Liveness;
  readonly owner: string;
  /** Milliseconds for which another process that is at a volume is waited for. Default: as long as it is. */
  readonly lockTimeout: number | undefined;
}

/** A volume that a root filesystem is to have. */
export interface VolumeWish {
  readonly name: string;
  readonly readOnly: boolean;
  /** What it is filled with, where it is new and empty: an absolute directory; undefined for nothing. */
  readonly from?: string | undefined;
}

/** Where a root filesystem keeps what is written. */
export interface KeptPlace {
  /** Absolute. */
  readonly path: string;
  /** It is a file system of its own. */
  readonly isInMemory: boolean;
}

/** What a recovery did to volumes. */
export interface RecoveredVolumes {
  /** Absolute: their removal had been cut short. */
  readonly removed: readonly string[];
  readonly failed: readonly FailedEntry[];
}

/** Milliseconds between looks at what another process is at. */
const POLL = [2, 5, 10, 20, 50] as const;

/**
 * Volumes, from their records to their directories.
 *
 *   create:   record `new` ──► directory
 *   use:      record `new`, and that the root filesystem has it ──► claim ──► a copy beside ──► sync ──► rename ──► `ready`
 *   remove:   `removing` ──► rename into `gc/` ──► forget
 *
 * A directory is shown to a container from `ready` on, and never replaced from then on. What is left when somebody dies before that is filled by the next one; half of a copy is
 * never in its place. Another owner, who may only read it, does not say what is in it: he is shown one that is `new` as it is. A removal that was cut short is finished by whoever comes by: one who wants that name, who removes it, or the next recovery.
 */
export class Volumes {
  readonly #needs: VolumesNeeds;

  constructor(needs: VolumesNeeds) {
    this.#needs = needs;
  }

  /** One that is there stays as it is. @throws ProvisionerError `ERR_VOLUME_FOREIGN` where it is another owner's, `ERR_STORE_DAMAGED` where what is in its place is no directory */
  async create(name: string, labels: Readonly<Record<string, string>>): Promise<VolumeRecord> {
    const { metadata, owner } = this.#needs;
    const wait = this.#wait(name, undefined);
    this.#isThere(name);
    for (;;) {
      const volume = await metadata.putVolume({ name, owner, labels });
      if (volume.state === 'removing') {
        await this.#outlastRemoval(volume, wait);
        continue;
      }
      if (volume.owner !== owner) throw foreign(volume);
      crashPoint('volume.recorded');
      // Whoever fills it makes it too.
      if (volume.state === 'new') await this.#make(name, undefined);
      crashPoint('volume.directoryMade');
      return volume;
    }
  }

  /**
   * Records that a root filesystem has volumes, makes those that are missing, and fills those that are new.
   * @returns their directories, absolute, in the order of the wishes; they may be shown to a container
   * @throws ProvisionerError `ERR_CONTAINER_GONE`, `ERR_VOLUME_FOREIGN`, `ERR_STORE_DAMAGED` where the directory of one is gone or is something else, `ERR_LOCK_TIMEOUT`, `ERR_ABORTED`, and as `copyLayers`
   */
  async use(user: RootfsKey, wishes: readonly VolumeWish[], signal: AbortSignal | undefined): Promise<string[]> {
    const { metadata, owner, paths } = this.#needs;
    const wanted = wishes.map(({ name, readOnly }) => ({ name, readOnly, owner }));
    for (const { name } of wishes) this.#isThere(name);
    for (;;) {
      throwIfAborted(signal);
      const { used, removing } = await metadata.useVolumes(user, wanted);
      if (used === undefined) {
        await this.#outlastRemoval(removing, this.#wait(removing.name, signal));
        continue;
      }
      crashPoint('volume.used');
      for (const [index, { name, state, owner: whose }] of used.entries()) {
        const { from, readOnly } = wishes[index] ?? {};
        if (state !== 'new') {
          if (!this.#isThere(name)) throw this.#missing(name);
        } else if (readOnly === true && whose !== owner) await this.#make(name, this.#wait(name, signal));
        else await this.#fill(name, from, signal);
      }
      return wishes.map(({ name }) => paths.volume(name));
    }
  }

  /**
   * A volume without a name, which goes with the root filesystem: the same one each time.
   * @param kept where the root filesystem keeps what is written: on disk, or in memory @param target where it is mounted, which tells it from the others @param from as of a wish
   * @returns its directory, absolute
   */
  async anonymous(
    kept: KeptPlace,
    target: string,
    from: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const key = createHash('sha256').update(target).digest('hex').slice(0, 32);
    const directory = anonymousVolume(kept.path, key);
    // It appears whole.
    if (isVolumeDirectoryThere(`at ${target}`, directory)) return directory;
    const { liveness } = this.#needs;
    const draftsIn = kept.isInMemory ? kept.path : undefined;
    await liveness.during(async ({ identity }) => {
      if (draftsIn !== undefined) await removeDeadDrafts(draftsIn, liveness.isAlive);
      await fillDirectory(this.#needs, { from, directory, draftsIn, process: identity }, signal);
    });
    return directory;
  }

  /** @throws ProvisionerError `ERR_VOLUME_NOT_FOUND`, `ERR_VOLUME_FOREIGN`, `ERR_VOLUME_IN_USE`, `ERR_LOCK_TIMEOUT`, `ERR_ABORTED` */
  async remove(name: string, anyOwner: boolean, signal: AbortSignal | undefined): Promise<void> {
    await this.#remove(name, anyOwner ? undefined : this.#needs.owner, this.#wait(name, signal));
  }

  /** Finishes what crashes have left. */
  async recover(): Promise<RecoveredVolumes> {
    const { metadata, liveness, paths } = this.#needs;
    const removed: string[] = [];
    const failed: FailedEntry[] = [];
    for await (const { name, state, maker } of unhurried(await metadata.listVolumes())) {
      if (state !== 'removing' || (maker !== undefined && liveness.isAlive(maker))) continue;
      try {
        await this.#remove(name, undefined, this.#wait(name, undefined));
        removed.push(paths.volume(name));
      } catch (error) {
        if (!isProvisionerError(error, 'ERR_VOLUME_NOT_FOUND'))
          failed.push(failedEntry(error, 'remove the volume', paths.volume(name)));
      }
    }
    return { removed, failed };
  }

  async #remove(name: string, owner: string | undefined, wait: Wait): Promise<void> {
    const { metadata, liveness, paths, sweeper } = this.#needs;
    wait.requireWanted();
    await liveness.during(async ({ identity }) => {
      for (;;) {
        const claim = await metadata.beginVolumeRemoval(name, owner, identity, liveness.isAlive);
        if (claim.state === 'busy') {
          await wait.goOn(claim.holder);
          continue;
        }
        crashPoint('volume.removing');
        try {
          // What is hidden is not gone.
          requireNothingHidden(paths.volumes, paths);
          sweeper.retire(paths.volume(name), 'volume');
        } catch (error) {
          await metadata.releaseVolume(name, identity, claim.before);
          throw fileError(error, 'remove the volume', paths.volume(name));
        }
        crashPoint('volume.retired');
        await metadata.forgetVolume(name, identity);
        crashPoint('volume.forgotten');
        return;
      }
    });
  }

  /** Waits until a volume is gone that is being removed; where nobody is at it any more, removes it. */
  async #outlastRemoval({ name, maker }: VolumeRecord, wait: Wait): Promise<void> {
    if (maker !== undefined && this.#needs.liveness.isAlive(maker)) return wait.goOn(maker);
    await this.#remove(name, undefined, wait).catch((error) => {
      if (!isProvisionerError(error, 'ERR_VOLUME_NOT_FOUND')) throw error;
    });
  }

  /** Fills one that is new, or waits until somebody else has. */
  async #fill(name: string, from: string | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { metadata, paths } = this.#needs;
    await this.#whileNew(name, this.#wait(name, signal), async (process) => {
      crashPoint('volume.claimed');
      const fill = () => fillDirectory(this.#needs, { from, directory: paths.volume(name), process }, signal);
      try {
        await fill().catch(async (error) => {
          if (!isProvisionerError(error, 'ERR_NO_SPACE') || !(await this.#madeRoom(signal))) throw error;
          await fill();
        });
      } catch (error) {
        throw unfilled(name, error);
      }
      await metadata.settleVolume(name, process);
      crashPoint('volume.settled');
    });
  }

  /** What the dead had begun to remove may be what fills the disk. @returns whether there was more than what this one has just given up */
  async #madeRoom(signal: AbortSignal | undefined): Promise<boolean> {
    const { paths, sweeper } = this.#needs;
    const left = readdirSync(paths.gc).length;
    await sweeper.sweepAll();
    await orAborted(sweeper.idle(), signal);
    return left > 1;
  }

  /** Makes the directory of one that is new, which stays so. @param wait where somebody else is at it; undefined to leave it to him */
  async #make(name: string, wait: Wait | undefined): Promise<void> {
    const { metadata, paths } = this.#needs;
    await this.#whileNew(name, wait, async (process) => {
      try {
        makeVolumeDirectory(paths.volume(name));
      } catch (error) {
        throw fileError(error, 'make the volume', paths.volume(name));
      }
      await metadata.releaseVolume(name, process, 'new');
    });
  }

  /** Does something to one that is new, alone: whoever has claimed it keeps it from being filled and removed meanwhile. @param wait as of `#make` @param work gives the claim back, or settles it */
  async #whileNew(
    name: string,
    wait: Wait | undefined,
    work: (process: ProcessIdentity) => Promise<void>,
  ): Promise<void> {
    const { metadata, liveness } = this.#needs;
    await liveness.during(async ({ identity }) => {
      for (;;) {
        const claim = await metadata.claimVolume(name, identity, liveness.isAlive);
        if (claim.state === 'busy') {
          if (wait === undefined) return;
          await wait.goOn(claim.holder);
          continue;
        }
        if (claim.state !== 'claimed') return;
        try {
          this.#isThere(name);
          return await work(identity);
        } catch (error) {
          // The next one fills it. A claim that cannot be given back counts for nothing when this life has ended.
          await metadata.releaseVolume(name, identity, 'new').catch(() => undefined);
          throw error;
        }
      }
    });
  }

  /** @throws as `isVolumeDirectoryThere` */
  #isThere(name: string): boolean {
    const directory = this.#needs.paths.volume(name);
    try {
      return isVolumeDirectoryThere(name, directory);
    } catch (error) {
      throw fileError(error, 'look at the volume', directory);
    }
  }

  /** Or hidden. */
  #missing(name: string): ProvisionerError {
    const { paths } = this.#needs;
    requireNothingHidden(paths.volumes, paths);
    return missing(name, paths.volume(name));
  }

  #wait(name: string, signal: AbortSignal | undefined): Wait {
    return new Wait(name, this.#needs.lockTimeout, signal);
  }
}

/** A wait for another process, or another call, that is at a volume. */
class Wait {
  readonly #name: string;
  readonly #timeout: number | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #started = performance.now();
  #looks = 0;

  constructor(name: string, timeout: number | undefined, signal: AbortSignal | undefined) {
    this.#name = name;
    this.#timeout = timeout;
    this.#signal = signal;
  }

  /** @throws ProvisionerError `ERR_ABORTED` */
  requireWanted(): void {
    throwIfAborted(this.#signal);
  }

  /** @throws ProvisionerError `ERR_LOCK_TIMEOUT` when it has been long enough, `ERR_ABORTED` */
  async goOn(holder: ProcessIdentity): Promise<void> {
    this.requireWanted();
    const waited = Math.round(performance.now() - this.#started);
    const pid = pidOf(holder);
    if (this.#timeout !== undefined && waited >= this.#timeout) {
      throw new ProvisionerError(
        'ERR_LOCK_TIMEOUT',
        `process ${pid} was still filling or removing the volume ${this.#name} after ${waited} ms`,
        {
          hint: `wait until it is done; continue it when it is stopped (kill -CONT ${pid}), or end it`,
          details: { volume: this.#name, pid, waited },
        },
      );
    }
    await sleep(POLL[Math.min(this.#looks++, POLL.length - 1)]);
  }
}

function foreign({ name, owner }: VolumeRecord): ProvisionerError {
  return new ProvisionerError(
    'ERR_VOLUME_FOREIGN',
    `the volume ${name} is there, and belongs to the owner ${JSON.stringify(owner)}`,
    {
      hint: 'choose another name; anybody may mount it read-only',
      details: { volume: name, owner },
    },
  );
}

/** What a disk or a file says of itself does not tell which of several volumes it was about. */
function unfilled(name: string, error: unknown): unknown {
  if (!isProvisionerError(error) || error.code === 'ERR_ABORTED') return error;
  const { code, message, hint, details } = error;
  return new ProvisionerError(code, `the volume ${name} cannot be filled: ${message}`, {
    cause: error,
    ...(hint !== undefined && { hint }),
    details: { ...details, volume: name },
  });
}

function missing(name: string, directory: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_STORE_DAMAGED',
    `the directory of the volume ${name} is not there any more: ${directory}`,
    {
      hint: `put it back; or give the volume up, and have a new one: \`provisioner volume rm ${name}\``,
      details: { volume: name, path: directory },
    },
  );
}
