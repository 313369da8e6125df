import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { rootfsGone, volumeForeign, volumeInUse, volumeNotFound } from '../record-errors.js';
import type { RootfsKey } from '../rootfses/rootfs-records.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type {
  NewVolume,
  UsedVolumes,
  VolumeClaim,
  VolumeRecord,
  VolumeRemovalClaim,
  VolumeState,
  WantedVolume,
} from './volume-records.js';

/** Volumes in SQLite. Each function runs inside a transaction of its caller. */

interface VolumeRow extends Omit<VolumeRecord, 'maker' | 'labels' | 'containers'> {
  readonly maker: ProcessIdentity | null;
  /** JSON. */
  readonly labels: string;
  /** JSON list. */
  readonly containers: string;
}

type IsAlive = (process: ProcessIdentity) => boolean;

const SELECT = `
  SELECT name, owner, state, maker, created_at AS createdAt, labels,
    (SELECT json_group_array(container) FROM (SELECT DISTINCT container FROM volume_use WHERE volume = name ORDER BY container)) AS containers
  FROM volume`;

export function putVolume(db: SqliteConnection, { name, owner, labels }: NewVolume, now: number): VolumeRecord {
  db.statement<[string, string, number, string]>(
    `INSERT INTO volume (name, owner, state, created_at, labels) VALUES (?, ?, 'new', ?, ?) ON CONFLICT (name) DO NOTHING`,
  ).run(name, owner, now, JSON.stringify(labels));
  return found(db, name);
}

/** Writes nothing before all of it can be. */
export function useVolumes(
  db: SqliteConnection,
  { containerId, id }: RootfsKey,
  wanted: readonly WantedVolume[],
  now: number,
): UsedVolumes {
  const rootfs = db
    .statement<[string, string], { owner: string }>('SELECT owner FROM rootfs WHERE container = ? AND id = ?')
    .get(containerId, id);
  if (rootfs === undefined) throw rootfsGone(id);
  for (const { name, owner, readOnly } of wanted) {
    const there = getVolume(db, name);
    if (there === undefined) continue;
    if (there.state === 'removing') return { removing: there };
    if (!readOnly && there.owner !== owner && there.owner !== rootfs.owner) throw volumeForeign(name, there.owner);
  }
  const use = db.statement<[string, string, string]>(
    'INSERT INTO volume_use (container, rootfs, volume) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
  );
  for (const { name, owner } of wanted) {
    putVolume(db, { name, owner, labels: {} }, now);
    use.run(containerId, id, name);
  }
  return { used: wanted.map(({ name }) => found(db, name)) };
}

export function claimVolume(
  db: SqliteConnection,
  name: string,
  process: ProcessIdentity,
  isAlive: IsAlive,
): VolumeClaim {
  const volume = getVolume(db, name);
  if (volume === undefined || volume.state === 'removing') return { state: 'gone' };
  if (volume.state === 'ready') return { state: 'ready' };
  if (volume.maker !== undefined && isAlive(volume.maker)) return { state: 'busy', holder: volume.maker };
  setState(db, name, 'new', process);
  return { state: 'claimed' };
}

export function settleVolume(db: SqliteConnection, name: string, process: ProcessIdentity): boolean {
  const { changes } = db
    .statement<[string, string]>(
      `UPDATE volume SET state = 'ready', maker = NULL WHERE name = ? AND maker = ? AND state = 'new'`,
    )
    .run(name, process);
  return changes > 0;
}

export function releaseVolume(db: SqliteConnection, name: string, process: ProcessIdentity, state: VolumeState): void {
  db.statement<[string, string, string]>('UPDATE volume SET state = ?, maker = NULL WHERE name = ? AND maker = ?').run(
    state,
    name,
    process,
  );
}

export function beginVolumeRemoval(
  db: SqliteConnection,
  name: string,
  owner: string | undefined,
  process: ProcessIdentity,
  isAlive: IsAlive,
): VolumeRemovalClaim {
  const volume = getVolume(db, name);
  if (volume === undefined) throw volumeNotFound(name);
  if (owner !== undefined && volume.owner !== owner) throw volumeForeign(name, volume.owner);
  if (volume.containers.length > 0) throw volumeInUse(name, volume.containers);
  if (volume.maker !== undefined && isAlive(volume.maker)) return { state: 'busy', holder: volume.maker };
  setState(db, name, 'removing', process);
  return { state: 'claimed', before: volume.state };
}

export function forgetVolume(db: SqliteConnection, name: string, process: ProcessIdentity): void {
  db.statement<[string, string]>(`DELETE FROM volume WHERE name = ? AND maker = ? AND state = 'removing'`).run(
    name,
    process,
  );
}

/** Undefined when there is none of that name. */
export function getVolume(db: SqliteConnection, name: string): VolumeRecord | undefined {
  const row = db.statement<[string], VolumeRow>(`${SELECT} WHERE name = ?`).get(name);
  return row && volumeRecord(row);
}

/** The first so many after a name. */
export function volumePage(db: SqliteConnection, after: string, limit: number): VolumeRecord[] {
  return db
    .statement<[string, number], VolumeRow>(`${SELECT} WHERE name > ? ORDER BY name LIMIT ?`)
    .all(after, limit)
    .map(volumeRecord);
}

function found(db: SqliteConnection, name: string): VolumeRecord {
  const volume = getVolume(db, name);
  if (volume === undefined) throw volumeNotFound(name);
  return volume;
}

function setState(db: SqliteConnection, name: string, state: VolumeState, maker: ProcessIdentity): void {
  db.statement<[string, string, string]>('UPDATE volume SET state = ?, maker = ? WHERE name = ?').run(
    state,
    maker,
    name,
  );
}

function volumeRecord({ maker, labels, containers, ...row }: VolumeRow): VolumeRecord {
  return {
    ...row,
    maker: maker ?? undefined,
    labels: JSON.parse(labels) as Record<string, string>,
    containers: JSON.parse(containers) as string[],
  };
}
