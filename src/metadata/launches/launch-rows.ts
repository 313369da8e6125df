import { containerForeign, containerRunning, launchIdTaken } from '../record-errors.js';
import { rangeBelow } from '../rootfses/container-tree.js';
import { containerOwner } from '../rootfses/rootfs-rows.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import {
  EVENTS_KEPT,
  EVENTS_PRUNED_EVERY,
  FORGOTTEN,
  type LaunchChange,
  type LaunchEvent,
  type LaunchEventsWanted,
  type LaunchesWanted,
  type LaunchRecord,
  type NewLaunch,
  type NewLaunchEvent,
  type PutLaunch,
  type UnendedLaunch,
} from './launch-records.js';

/** Launches and their events in SQLite. Each function runs inside a transaction of its caller. */

type Nullable<Row, Names extends keyof Row> = Omit<Row, Names> & {
  readonly [Name in Names]: Exclude<Row[Name], undefined> | null;
};
type LaunchRow = Nullable<LaunchRecord, 'startedAt' | 'finishedAt' | 'place' | 'exit'>;
type EventRow = Nullable<LaunchEvent, 'launchId' | 'details'>;

const SELECT_LAUNCH = `
  SELECT id, container AS containerId, owner, state, boot AS bootId, created_at AS createdAt, started_at AS startedAt,
    finished_at AS finishedAt, spec, place, exit, removal
  FROM launch`;

/** Children before parents, because an id sorts after its own beginnings. */
const UNENDED_IN_TREE = `
  SELECT id, container AS containerId, state FROM launch
  WHERE (container = ? OR (container >= ? AND container < ?)) AND state <> 'exited' ORDER BY container DESC`;

export function putLaunch(db: SqliteConnection, launch: NewLaunch, now: number): PutLaunch {
  const { id, containerId, anyOwner, bootId, spec, place, removal, event } = launch;
  const last = getLaunch(db, containerId);
  const ofRootfs = containerOwner(db, containerId);
  const owner = ofRootfs ?? last?.owner ?? launch.owner;
  if (owner !== launch.owner && !anyOwner) throw containerForeign(containerId, owner);
  if (last !== undefined && last.state !== 'exited') throw containerRunning(last);
  const taken = db.statement<[string], { found: 1 }>('SELECT 1 AS found FROM launch WHERE id = ?').get(id);
  if (taken !== undefined) throw launchIdTaken(id);
  db.statement<[string]>('DELETE FROM launch WHERE container = ?').run(containerId);
  db.statement<(string | number | null)[]>(
    `INSERT INTO launch (id, container, owner, state, boot, created_at, spec, place, removal)
     VALUES (?, ?, ?, 'starting', ?, ?, ?, ?, ?)`,
  ).run(id, containerId, owner, bootId, now, spec, place ?? null, removal);
  if (event !== undefined) noteEvent(db, { ...event, containerId, launchId: id, owner }, now);
  return {
    launch: getLaunch(db, containerId) as LaunchRecord,
    replaced: last?.id,
    hadRootfs: ofRootfs !== undefined,
  };
}

/** @param change as `checkedChange` has it */
export function changeLaunch(db: SqliteConnection, id: string, change: LaunchChange, now: number): boolean {
  const { from, to, startedAt, finishedAt, place, exit, cause, event } = change;
  const columns = { state: to, started_at: startedAt, finished_at: finishedAt, place, exit };
  const given = Object.entries(columns).filter(([, value]) => value !== undefined);
  const sets = given.map(([column]) => `${column} = ?`).join(', ');
  const values = given.map(([, value]) => value as string | number | null);
  const changed = db
    .statement<(string | number | null)[]>(
      `UPDATE launch SET ${sets === '' ? 'state = state' : sets} WHERE id = ? AND state IN (SELECT value FROM json_each(?))`,
    )
    .run(...values, id, JSON.stringify(from)).changes;
  if (changed === 0) return false;
  const notes = [cause, event].filter((note) => note !== undefined);
  if (notes.length === 0) return true;
  const row = db
    .statement<[string], Pick<LaunchRecord, 'containerId' | 'owner'>>(
      'SELECT container AS containerId, owner FROM launch WHERE id = ?',
    )
    .get(id);
  if (row !== undefined) for (const note of notes) noteEvent(db, { ...note, ...row, launchId: id }, now);
  return true;
}

export function getLaunch(db: SqliteConnection, containerId: string): LaunchRecord | undefined {
  const row = db.statement<[string], LaunchRow>(`${SELECT_LAUNCH} WHERE container = ?`).get(containerId);
  return row === undefined ? undefined : launchRecord(row);
}

/** @param after the container id after which the page begins */
export function launchPage(
  db: SqliteConnection,
  { owner = null, states }: { readonly [Name in keyof LaunchesWanted]: LaunchesWanted[Name] | null },
  after: string,
  limit: number,
): LaunchRecord[] {
  const wanted = states ? JSON.stringify(states) : null;
  return db
    .statement<(string | number | null)[], LaunchRow>(
      `${SELECT_LAUNCH} WHERE container > ? AND (? IS NULL OR owner = ?)
         AND (? IS NULL OR state IN (SELECT value FROM json_each(?))) ORDER BY container LIMIT ?`,
    )
    .all(after, owner, owner, wanted, wanted, limit)
    .map(launchRecord);
}

export function unendedLaunches(db: SqliteConnection, containerId: string): UnendedLaunch[] {
  const { first, end } = rangeBelow(containerId);
  return db.statement<[string, string, string], UnendedLaunch>(UNENDED_IN_TREE).all(containerId, first, end);
}

export function forgetLaunches(db: SqliteConnection, containerId: string, id: string | null, now: number): boolean {
  const forget = db.statement<[string, string | null, string | null], ForgottenRow>(
    `DELETE FROM launch WHERE container = ? AND (? IS NULL OR id = ?) ${RETURNING_FORGOTTEN}`,
  );
  return noteForgotten(db, forget.all(containerId, id, id), now) > 0;
}

/** Those of containers that have no rootfs any more, unless they have not ended: such a one is just being made. */
export function forgetEndedLaunches(db: SqliteConnection, containerIds: Iterable<string>, now: number): void {
  const forget = db.statement<[{ readonly container: string }], ForgottenRow>(
    `DELETE FROM launch WHERE container = @container AND state = 'exited'
       AND NOT EXISTS (SELECT 1 FROM rootfs WHERE rootfs.container = @container) ${RETURNING_FORGOTTEN}`,
  );
  for (const container of new Set(containerIds)) noteForgotten(db, forget.all({ container }), now);
}

type ForgottenRow = Pick<NewLaunchEvent, 'containerId' | 'owner'> & { readonly launchId: string };
const RETURNING_FORGOTTEN = 'RETURNING id AS launchId, container AS containerId, owner';

/** @returns how many they are */
function noteForgotten(db: SqliteConnection, forgotten: readonly ForgottenRow[], now: number): number {
  for (const launch of forgotten) noteEvent(db, { ...launch, kind: FORGOTTEN }, now);
  return forgotten.length;
}

export function noteEvent(db: SqliteConnection, event: NewLaunchEvent, now: number): void {
  const { containerId, launchId = null, owner, kind, details = null } = event;
  const { lastInsertRowid } = db
    .statement<(string | number | null)[]>(
      'INSERT INTO launch_event (at, container, launch, owner, kind, details) VALUES (?, ?, ?, ?, ?, ?)',
    )
    .run(now, containerId, launchId, owner, kind, details);
  const sequence = Number(lastInsertRowid);
  if (sequence % EVENTS_PRUNED_EVERY !== 0) return;
  db.statement<[number]>('DELETE FROM launch_event WHERE sequence <= ?').run(sequence - EVENTS_KEPT);
}

export function launchEvents(db: SqliteConnection, { since, after = 0, limit }: LaunchEventsWanted): LaunchEvent[] {
  // Not by an index over times: the clock may have been set back, and ten thousand rows are read in two milliseconds.
  return db
    .statement<(number | null)[], EventRow>(
      `SELECT sequence, at, container AS containerId, launch AS launchId, owner, kind, details FROM launch_event
       WHERE sequence > ? AND (? IS NULL OR at >= ?) ORDER BY sequence LIMIT ?`,
    )
    .all(after, since ?? null, since ?? null, limit)
    .map(({ launchId, details, ...row }) => ({
      ...row,
      launchId: launchId ?? undefined,
      details: details ?? undefined,
    }));
}

export function newestEvent(db: SqliteConnection): number {
  const row = db.statement<[], { readonly newest: number | null }>('SELECT max(sequence) AS newest FROM launch_event');
  return row.get()?.newest ?? 0;
}

function launchRecord({ startedAt, finishedAt, place, exit, ...row }: LaunchRow): LaunchRecord {
  return {
    ...row,
    startedAt: startedAt ?? undefined,
    finishedAt: finishedAt ?? undefined,
    place: place ?? undefined,
    exit: exit ?? undefined,
  };
}
