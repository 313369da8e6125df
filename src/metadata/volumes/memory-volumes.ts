import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { MemoryLife } from '../memory/memory-life.js';
import { rootfsGone, volumeForeign, volumeInUse, volumeNotFound } from '../record-errors.js';
import type { RootfsKey } from '../rootfses/rootfs-records.js';
import type {
  NewVolume,
  UsedVolumes,
  VolumeClaim,
  VolumeRecord,
  VolumeRecords,
  VolumeRemovalClaim,
  VolumeState,
  WantedVolume,
} from './volume-records.js';

type IsAlive = (process: ProcessIdentity) => boolean;
type Volume = Omit<VolumeRecord, 'containers'>;

/** Volumes in memory, by name, and the root filesystems that have each. */
export class MemoryVolumes implements VolumeRecords {
  readonly #life: MemoryLife;
  readonly #ownerOf: (rootfs: RootfsKey) => string | undefined;
  readonly #volumes = new Map<string, Volume>();
  readonly #users = new Map<string, RootfsKey[]>();

  /** @param ownerOf whose a root filesystem is; undefined for one that is not recorded */
  constructor(life: MemoryLife, ownerOf: (rootfs: RootfsKey) => string | undefined) {
    this.#life = life;
    this.#ownerOf = ownerOf;
  }

  async putVolume(volume: NewVolume): Promise<VolumeRecord> {
    this.#life.requireOpen();
    return this.#recordOf(this.#put(volume));
  }

  async useVolumes(user: RootfsKey, wanted: readonly WantedVolume[]): Promise<UsedVolumes> {
    this.#life.requireOpen();
    const owns = this.#ownerOf(user);
    if (owns === undefined) throw rootfsGone(user.id);
    for (const { name, owner, readOnly } of wanted) {
      const there = this.#volumes.get(name);
      if (there?.state === 'removing') return { removing: this.#recordOf(there) };
      if (there !== undefined && !readOnly && there.owner !== owner && there.owner !== owns)
        throw volumeForeign(name, there.owner);
    }
    for (const { name, owner } of wanted) {
      this.#put({ name, owner, labels: {} });
      const users = (this.#users.get(name) ?? []).filter((other) => !isSame(other, user));
      this.#users.set(name, [...users, { containerId: user.containerId, id: user.id }]);
    }
    return { used: wanted.map(({ name }) => this.#recordOf(this.#found(name))) };
  }

  async claimVolume(name: string, process: ProcessIdentity, isAlive: IsAlive): Promise<VolumeClaim> {
    this.#life.requireOpen();
    const volume = this.#volumes.get(name);
    if (volume === undefined || volume.state === 'removing') return { state: 'gone' };
    if (volume.state === 'ready') return { state: 'ready' };
    if (volume.maker !== undefined && isAlive(volume.maker)) return { state: 'busy', holder: volume.maker };
    this.#volumes.set(name, { ...volume, maker: process });
    return { state: 'claimed' };
  }

  async settleVolume(name: string, process: ProcessIdentity): Promise<boolean> {
    this.#life.requireOpen();
    const volume = this.#volumes.get(name);
    if (volume?.maker !== process || volume.state !== 'new') return false;
    this.#volumes.set(name, { ...volume, state: 'ready', maker: undefined });
    return true;
  }

  async releaseVolume(name: string, process: ProcessIdentity, state: VolumeState): Promise<void> {
    this.#life.requireOpen();
    const volume = this.#volumes.get(name);
    if (volume?.maker === process) this.#volumes.set(name, { ...volume, state, maker: undefined });
  }

  async beginVolumeRemoval(
    name: string,
    owner: string | undefined,
    process: ProcessIdentity,
    isAlive: IsAlive,
  ): Promise<VolumeRemovalClaim> {
    this.#life.requireOpen();
    const volume = this.#found(name);
    if (owner !== undefined && volume.owner !== owner) throw volumeForeign(name, volume.owner);
    const { containers, maker, state: before } = this.#recordOf(volume);
    if (containers.length > 0) throw volumeInUse(name, containers);
    if (maker !== undefined && isAlive(maker)) return { state: 'busy', holder: maker };
    this.#volumes.set(name, { ...volume, state: 'removing', maker: process });
    return { state: 'claimed', before };
  }

  async forgetVolume(name: string, process: ProcessIdentity): Promise<void> {
    this.#life.requireOpen();
    const volume = this.#volumes.get(name);
    if (volume?.state === 'removing' && volume.maker === process) this.#volumes.delete(name);
  }

  async getVolume(name: string): Promise<VolumeRecord | undefined> {
    this.#life.requireOpen();
    const volume = this.#volumes.get(name);
    return volume && this.#recordOf(volume);
  }

  async listVolumes(): Promise<VolumeRecord[]> {
    this.#life.requireOpen();
    return [...this.#volumes.values()]
      .map((volume) => this.#recordOf(volume))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  // For other sections, within their calls.

  /** Another root filesystem has what one has. @param owner only the volumes of this one; undefined for all */
  forkUser(source: RootfsKey, { containerId, id }: RootfsKey, owner: string | undefined): void {
    for (const [name, users] of this.#users) {
      const isMeant = owner === undefined || this.#volumes.get(name)?.owner === owner;
      if (!isMeant || !users.some((user) => isSame(user, source))) continue;
      this.#users.set(name, [...users, { containerId, id }]);
    }
  }

  /** Of root filesystems that are forgotten. */

  forgetUsers(rootfses: readonly RootfsKey[]): void {
    for (const [name, users] of this.#users) {
      this.#users.set(
        name,
        users.filter((user) => !rootfses.some((rootfs) => isSame(rootfs, user))),
      );
    }
  }

  #put({ name, owner, labels }: NewVolume): Volume {
    const there = this.#volumes.get(name);
    if (there !== undefined) return there;
    const made: Volume = { name, owner, labels: { ...labels }, state: 'new', maker: undefined, createdAt: Date.now() };
    this.#volumes.set(name, made);
    return made;
  }

  #found(name: string): Volume {
    const volume = this.#volumes.get(name);
    if (volume === undefined) throw volumeNotFound(name);
    return volume;
  }

  #recordOf(volume: Volume): VolumeRecord {
    const users = this.#users.get(volume.name) ?? [];
    const containers = [...new Set(users.map(({ containerId }) => containerId))].sort();
    return { ...volume, labels: { ...volume.labels }, containers };
  }
}

const isSame = (one: RootfsKey, other: RootfsKey): boolean =>
  one.containerId === other.containerId && one.id === other.id;
