import type { LayerId } from '../../image/digest.js';
import type { MountPlace } from '../../system/locks/mount-place.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { markUsed, type Use } from '../images/image-rows.js';
import { containerExists, containerForeign, imageNotFound, rootfsGone, rootfsIdTaken } from '../record-errors.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import { rangeBelow } from './container-tree.js';
import { containersOf } from './containers-of.js';
import type {
  ContainerRecord,
  ForkedRootfsRecord,
  NewRootfs,
  RootfsKey,
  RootfsRecord,
  RootfsSummary,
} from './rootfs-records.js';

/** Rootfses, and the containers that they make up, in SQLite. Each function runs inside a transaction of its caller. */

interface SummaryRow extends Omit<RootfsSummary, 'maker' | 'mount'> {
  readonly maker: ProcessIdentity | null;
  readonly boot: string | null;
  readonly namespace: string | null;
  readonly process: ProcessIdentity | null;
}

interface RootfsRow extends SummaryRow {
  /** Layers that the stack was made with. */
  readonly size: number;
  /** JSON list. */
  readonly layers: string;
}

const SUMMARY = `
  rootfs.container AS containerId, rootfs.id, rootfs.owner, rootfs.image, rootfs.backend, rootfs.state, rootfs.maker,
  rootfs.mount_boot AS boot, rootfs.mount_namespace AS namespace, rootfs.mount_process AS process, rootfs.created_at AS createdAt`;

const SELECT_ROOTFS = `
  SELECT ${SUMMARY}, (SELECT size FROM stack WHERE stack.key = rootfs.stack) AS size,
    (SELECT json_group_array(layer.id ORDER BY stack_layer.position)
      FROM stack_layer JOIN layer ON layer.key = stack_layer.layer WHERE stack_layer.stack = rootfs.stack) AS layers
  FROM rootfs`;

/** Children before parents, because an id sorts after its own beginnings. */
export const ROOTFSES_IN_TREE = `
  SELECT ${SUMMARY} FROM rootfs WHERE container = ? OR (container >= ? AND container < ?)
  ORDER BY container DESC, created_at DESC, id DESC`;

/** @returns undefined when there is no such container */
export function containerOwner(db: SqliteConnection, containerId: string): string | undefined {
  const select = db.statement<[string], { owner: string }>('SELECT owner FROM rootfs WHERE container = ? LIMIT 1');
  return select.get(containerId)?.owner;
}

/** Places instead of names for what is given: that many names take SQLite's binding longer than the row. */
const insertRootfs = (owner: string, condition: string) => `
  INSERT INTO rootfs (container, id, owner, backend, state, maker, created_at, mount_boot, mount_namespace, mount_process, image, stack)
  SELECT ?, ?, ${owner}, ?, ?, ?, ?, ?, ?, ?, image.id, image.stack FROM image
  WHERE image.id = ? ${condition}
  ON CONFLICT DO NOTHING`;
const INSERT_FOR_OWNER = insertRootfs('?', 'AND NOT EXISTS (SELECT 1 FROM rootfs WHERE container = ? AND owner <> ?)');
/** A container that is there goes on belonging to whom it does. */
const INSERT_FOR_ANY_OWNER = insertRootfs('coalesce((SELECT owner FROM rootfs WHERE container = ? LIMIT 1), ?)', '');

/** @returns whether the image's last use has been written */
export function putRootfs(
  db: SqliteConnection,
  rootfs: NewRootfs,
  maker: ProcessIdentity | undefined,
  use: Use,
): boolean {
  const { containerId, id, owner, anyOwner, image, backend, mount } = rootfs;
  const { boot = null, namespace = null, process = null } = mount ?? {};
  const state = maker === undefined ? 'ready' : 'provisioning';
  const columns = [backend, state, maker ?? null, use.now, boot, namespace, process, image];
  const inserted = anyOwner
    ? db.statement<unknown[]>(INSERT_FOR_ANY_OWNER).run(containerId, id, containerId, owner, ...columns)
    : db.statement<unknown[]>(INSERT_FOR_OWNER).run(containerId, id, owner, ...columns, containerId, owner);
  if (inserted.changes === 0) throw reasonNotRecorded(db, rootfs);
  return markUsed(db, image, use);
}

const FORK = `
  INSERT INTO rootfs (container, id, owner, backend, state, maker, created_at, mount_boot, mount_namespace, mount_process, image, stack)
  SELECT ?, ?, ?, backend, 'provisioning', ?, ?, ?, ?, ?, image, stack FROM rootfs WHERE container = ? AND id = ? AND state = 'ready'`;
const FORK_VOLUMES = `
  INSERT INTO volume_use (container, rootfs, volume)
  SELECT ?, ?, volume FROM volume_use JOIN volume ON volume.name = volume_use.volume WHERE container = ? AND rootfs = ? AND volume.owner = coalesce(?, volume.owner)`;

/** @param now milliseconds since the epoch @returns false when there is no such source */
export function forkRootfs(
  db: SqliteConnection,
  source: RootfsKey,
  { containerId, id, owner, mount }: ForkedRootfsRecord,
  maker: ProcessIdentity,
  now: number,
): boolean {
  if (containerOwner(db, containerId) !== undefined) throw containerExists(containerId);
  const { boot = null, namespace = null, process = null } = mount ?? {};
  const columns = [containerId, id, owner, maker, now, boot, namespace, process, source.containerId, source.id];
  if (db.statement<unknown[]>(FORK).run(...columns).changes === 0) return false;
  // What another owner may have been shown stays his: whether the new one may have it is asked when it is launched.
  const volumesOf = containerOwner(db, source.containerId) === owner ? null : owner;
  db.statement<unknown[]>(FORK_VOLUMES).run(containerId, id, source.containerId, source.id, volumesOf);
  return true;
}

export function finishRootfs(db: SqliteConnection, { containerId, id }: RootfsKey): void {
  const finished = db
    .statement<[string, string]>(
      `UPDATE rootfs SET state = 'ready', maker = NULL WHERE container = ? AND id = ? AND state = 'provisioning'`,
    )
    .run(containerId, id);
  if (finished.changes === 0) throw rootfsGone(id);
}

function reasonNotRecorded(db: SqliteConnection, { containerId, id, owner, anyOwner, image }: NewRootfs): Error {
  const recorded = containerOwner(db, containerId) ?? owner;
  if (recorded !== owner && !anyOwner) return containerForeign(containerId, recorded);
  const taken = db
    .statement<[string, string], { found: 1 }>('SELECT 1 AS found FROM rootfs WHERE container = ? AND id = ?')
    .get(containerId, id);
  return taken === undefined ? imageNotFound(image) : rootfsIdTaken(id);
}

export function setRootfsMounts(db: SqliteConnection, rootfses: readonly RootfsKey[], mount: MountPlace): void {
  const { boot, namespace, process } = mount;
  const update = db.statement<string[]>(
    'UPDATE rootfs SET mount_boot = ?, mount_namespace = ?, mount_process = ? WHERE container = ? AND id = ?',
  );
  for (const { containerId, id } of rootfses) update.run(boot, namespace, process, containerId, id);
}

export function rootfsesIn(db: SqliteConnection, containerId: string): RootfsSummary[] {
  const { first, end } = rangeBelow(containerId);
  return db
    .statement<[string, string, string], SummaryRow>(ROOTFSES_IN_TREE)
    .all(containerId, first, end)
    .map(rootfsSummary);
}

export function forgetRootfses(db: SqliteConnection, rootfses: readonly RootfsKey[]): number {
  const forget = db.statement<[string, string]>('DELETE FROM rootfs WHERE container = ? AND id = ?');
  return rootfses.reduce((forgotten, { containerId, id }) => forgotten + forget.run(containerId, id).changes, 0);
}

export function getContainer(db: SqliteConnection, containerId: string): ContainerRecord | undefined {
  const rows = db
    .statement<[string], RootfsRow>(`${SELECT_ROOTFS} WHERE container = ? ORDER BY created_at, id`)
    .all(containerId);
  return containersOf(rows.map(rootfsRecord))[0];
}

/** @param after the container id after which the page begins; @returns at most `limit` rootfses, those of a container perhaps on two pages */
export function rootfsPage(
  db: SqliteConnection,
  owner: string | undefined,
  after: readonly [container: string, id: string],
  limit: number,
): RootfsRecord[] {
  return db
    .statement<[string, string, string | null, string | null, number], RootfsRow>(
      `${SELECT_ROOTFS} WHERE (container, id) > (?, ?) AND (? IS NULL OR owner = ?) ORDER BY container, id LIMIT ?`,
    )
    .all(after[0], after[1], owner ?? null, owner ?? null, limit)
    .map(rootfsRecord);
}

function rootfsSummary({ boot, namespace, process, ...row }: SummaryRow): RootfsSummary {
  const mount = boot === null || namespace === null || process === null ? undefined : { boot, namespace, process };
  return { ...row, maker: row.maker ?? undefined, mount };
}

function rootfsRecord({ size, layers: list, ...row }: RootfsRow): RootfsRecord {
  const layers = JSON.parse(list) as LayerId[];
  return { ...rootfsSummary(row), layers, complete: layers.length === size };
}
