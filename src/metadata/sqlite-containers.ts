import type { ImageId, LayerId } from '../image/digest.js';
import type { ProcessIdentity } from '../locks/process-identity.js';
import { holderInTheWay } from './claims.js';
import { ancestors, rangeBelow } from './container-tree.js';
import type { Claim, ContainerRecord, NewRootfs, RootfsRecord } from './metadata-manager.js';
import { layersNotFound, rootfsGone, rootfsIdTaken } from './record-errors.js';
import type { SqliteConnection } from './sqlite-connection.js';
import { missingLayers } from './sqlite-layers.js';

/** Containers, their rootfses and the claims on them. Each function runs inside a transaction of its caller. */

interface RootfsRow extends Omit<RootfsRecord, 'layers'> {
  /** JSON list. */
  readonly layers: string;
  readonly claim: ProcessIdentity | null;
}

interface ContainerRow extends RootfsRow {
  readonly owner: string;
  readonly containerCreatedAt: number;
}

const ROOTFS_COLUMNS = `
  rootfs.id, rootfs.container AS containerId, rootfs.image, rootfs.backend, rootfs.state, rootfs.claim,
  rootfs.created_at AS createdAt,
  (SELECT json_group_array(layer.id ORDER BY rootfs_layer.position)
    FROM rootfs_layer JOIN layer ON layer.key = rootfs_layer.layer WHERE rootfs_layer.rootfs = rootfs.key) AS layers`;

const SELECT_CONTAINER = `
  SELECT ${ROOTFS_COLUMNS}, container.owner, container.created_at AS containerCreatedAt
  FROM container JOIN rootfs ON rootfs.container = container.id`;

/** A container and what is below it, with the three parameters of `tree`. */
const IN_TREE = '(container = ? OR (container >= ? AND container < ?))';
type Tree = [top: string, first: string, end: string];

/** Children before parents, because an id sorts after its own beginnings. */
export const ROOTFSES_IN_TREE = `SELECT ${ROOTFS_COLUMNS} FROM rootfs WHERE ${IN_TREE} ORDER BY container DESC, key DESC`;

function tree(containerId: string): Tree {
  const { first, end } = rangeBelow(containerId);
  return [containerId, first, end];
}

export function beginProvision(
  db: SqliteConnection,
  rootfs: NewRootfs,
  process: ProcessIdentity,
  isAlive: (process: ProcessIdentity) => boolean,
  now: number,
): Claim {
  const { containerId } = rootfs;
  const onContainer = claimsOnContainer(db, containerId);
  const holder = holderInTheWay([...onContainer, ...destroyersAbove(db, containerId)], process, isAlive);
  if (holder !== undefined) return { state: 'busy', holder };
  // The others are dead. Their claims go, lest a later process with the same pid is taken for them where /proc is missing.
  for (const claimant of onContainer) {
    if (claimant !== process) releaseContainerClaims(db, containerId, claimant);
  }
  db.statement<[string, string, number]>(
    'INSERT INTO container (id, owner, created_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING',
  ).run(containerId, rootfs.owner, now);
  insertRootfs(db, rootfs, process, now);
  return { state: 'claimed', value: undefined };
}

function insertRootfs(db: SqliteConnection, rootfs: NewRootfs, process: ProcessIdentity, now: number): void {
  const inserted = db
    .statement<[string, string, ImageId, string, ProcessIdentity, number]>(
      `INSERT INTO rootfs (id, container, image, backend, state, claim, created_at)
       VALUES (?, ?, ?, ?, 'provisioning', ?, ?) ON CONFLICT (id) DO NOTHING`,
    )
    .run(rootfs.id, rootfs.containerId, rootfs.image, rootfs.backend, process, now);
  if (inserted.changes === 0) throw rootfsIdTaken(rootfs.id);
  const stacked = db
    .statement<[number | bigint, string]>(
      `INSERT INTO rootfs_layer (rootfs, position, layer)
       SELECT ?, stack.key, layer.key FROM json_each(?) AS stack CROSS JOIN layer ON layer.id = stack.value`,
    )
    .run(inserted.lastInsertRowid, JSON.stringify(rootfs.layers));
  if (stacked.changes !== rootfs.layers.length) throw layersNotFound(missingLayers(db, rootfs.layers));
}

export function finishProvision(db: SqliteConnection, rootfsId: string, now: number): void {
  const finished = db
    .statement<[string], { image: ImageId }>(
      `UPDATE rootfs SET state = 'ready', claim = NULL WHERE id = ? AND state <> 'destroying' RETURNING image`,
    )
    .get(rootfsId);
  if (finished === undefined) throw rootfsGone(rootfsId);
  db.statement<[number, ImageId]>('UPDATE image SET last_used_at = ? WHERE id = ?').run(now, finished.image);
}

export function beginDestroy(
  db: SqliteConnection,
  containerId: string,
  process: ProcessIdentity,
  isAlive: (process: ProcessIdentity) => boolean,
): Claim<RootfsRecord[]> {
  const inTree = tree(containerId);
  const rows = db.statement<Tree, RootfsRow>(ROOTFSES_IN_TREE).all(...inTree);
  const provisioners = rows.flatMap((row) => row.claim ?? []);
  const destroyers = db
    .statement<Tree, { process: ProcessIdentity }>(`SELECT process FROM destroy_claim WHERE ${IN_TREE}`)
    .all(...inTree)
    .map((claim) => claim.process);
  const holders = [...destroyersAbove(db, containerId), ...destroyers, ...provisioners];
  const holder = holderInTheWay(holders, process, isAlive);
  if (holder !== undefined) return { state: 'busy', holder };
  if (rows.length === 0) return { state: 'claimed', value: [] };

  db.statement<Tree>(`UPDATE rootfs SET state = 'destroying', claim = NULL WHERE ${IN_TREE}`).run(...inTree);
  // What is left of older claims is ours or a dead process's.
  if (destroyers.length > 0) db.statement<Tree>(`DELETE FROM destroy_claim WHERE ${IN_TREE}`).run(...inTree);
  for (const container of new Set([containerId, ...rows.map((row) => row.containerId)])) {
    db.statement<[string, ProcessIdentity]>('INSERT INTO destroy_claim (container, process) VALUES (?, ?)').run(
      container,
      process,
    );
  }
  return { state: 'claimed', value: rows.map((row) => ({ ...rootfsRecord(row), state: 'destroying' })) };
}

export function forgetRootfses(db: SqliteConnection, rootfsIds: readonly string[]): void {
  const touched = new Set<string>();
  for (const id of rootfsIds) {
    const forgotten = db
      .statement<[string], { container: string }>('DELETE FROM rootfs WHERE id = ? RETURNING container')
      .get(id);
    if (forgotten !== undefined) touched.add(forgotten.container);
  }
  for (const container of touched) {
    db.statement<[string, string]>(
      'DELETE FROM container WHERE id = ? AND NOT EXISTS (SELECT 1 FROM rootfs WHERE container = ?)',
    ).run(container, container);
  }
  const settled = new Set([...touched].flatMap((container) => [container, ...ancestors(container)]));
  for (const container of settled) {
    db.statement<[string, ...Tree]>(
      `DELETE FROM destroy_claim WHERE container = ?
       AND NOT EXISTS (SELECT 1 FROM rootfs WHERE ${IN_TREE} AND state = 'destroying')`,
    ).run(container, ...tree(container));
  }
}

export function releaseContainerTree(db: SqliteConnection, containerId: string, process: ProcessIdentity): void {
  const inTree = tree(containerId);
  db.statement<[...Tree, ProcessIdentity]>(`UPDATE rootfs SET claim = NULL WHERE ${IN_TREE} AND claim = ?`).run(
    ...inTree,
    process,
  );
  db.statement<[...Tree, ProcessIdentity]>(`DELETE FROM destroy_claim WHERE ${IN_TREE} AND process = ?`).run(
    ...inTree,
    process,
  );
}

function releaseContainerClaims(db: SqliteConnection, containerId: string, process: ProcessIdentity): void {
  const parameters: [string, ProcessIdentity] = [containerId, process];
  db.statement<[string, ProcessIdentity]>('UPDATE rootfs SET claim = NULL WHERE container = ? AND claim = ?').run(
    ...parameters,
  );
  db.statement<[string, ProcessIdentity]>('DELETE FROM destroy_claim WHERE container = ? AND process = ?').run(
    ...parameters,
  );
}

/** The processes that work on this very container. */
function claimsOnContainer(db: SqliteConnection, containerId: string): ProcessIdentity[] {
  return db
    .statement<[string, string], { process: ProcessIdentity }>(
      `SELECT claim AS process FROM rootfs WHERE container = ? AND claim IS NOT NULL
       UNION SELECT process FROM destroy_claim WHERE container = ?`,
    )
    .all(containerId, containerId)
    .map((row) => row.process);
}

/** The processes that destroy one of its ancestors, and so everything below. */
function destroyersAbove(db: SqliteConnection, containerId: string): ProcessIdentity[] {
  const claim = db.statement<[string], { process: ProcessIdentity }>(
    'SELECT process FROM destroy_claim WHERE container = ?',
  );
  return ancestors(containerId).flatMap((ancestor) => claim.get(ancestor)?.process ?? []);
}

export function getContainer(db: SqliteConnection, containerId: string): ContainerRecord | undefined {
  return containers(
    db
      .statement<[string], ContainerRow>(`${SELECT_CONTAINER} WHERE container.id = ? ORDER BY rootfs.key`)
      .all(containerId),
  )[0];
}

export function listContainers(db: SqliteConnection, owner: string | undefined): ContainerRecord[] {
  const order = 'ORDER BY container.id, rootfs.key';
  if (owner === undefined) return containers(db.statement<[], ContainerRow>(`${SELECT_CONTAINER} ${order}`).all());
  return containers(
    db.statement<[string], ContainerRow>(`${SELECT_CONTAINER} WHERE container.owner = ? ${order}`).all(owner),
  );
}

/** @param rows the rows of one container stand together */
function containers(rows: readonly ContainerRow[]): ContainerRecord[] {
  const records: (ContainerRecord & { readonly rootfses: RootfsRecord[] })[] = [];
  for (const row of rows) {
    let record = records.at(-1);
    if (record?.id !== row.containerId) {
      record = { id: row.containerId, owner: row.owner, createdAt: row.containerCreatedAt, rootfses: [] };
      records.push(record);
    }
    record?.rootfses.push(rootfsRecord(row));
  }
  return records;
}

function rootfsRecord(row: RootfsRow): RootfsRecord {
  const { id, containerId, image, backend, state, createdAt } = row;
  return { id, containerId, image, backend, state, layers: JSON.parse(row.layers) as LayerId[], createdAt };
}
