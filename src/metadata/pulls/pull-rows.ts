import type { ImageId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { closeLeases, openLease } from '../leases/lease-rows.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import {
  type FoundPulls,
  type NewPull,
  OUTCOME_KEPT,
  type PullAnnouncement,
  type PullKey,
  type PullLayer,
  type PullOutcome,
  type PullRecord,
  type PullReport,
  type PullResult,
} from './pull-records.js';

/** The records of pulls in SQLite. Each function runs inside a transaction of its caller. */

interface PullRow extends Omit<PullRecord, 'layers' | 'image'> {
  readonly image: ImageId | null;
  /** JSON list. */
  readonly layers: string;
}

interface OutcomeRow extends PullKey {
  readonly pull: string;
  readonly finished_at: number;
  /** JSON. */
  readonly result: string;
}

const SELECT_PULL = `
  SELECT pull, process, since, source, platform, terms, image,
    (SELECT json_group_array(json_object('layer', layer, 'phase', phase, 'bytes', bytes, 'total', total) ORDER BY position)
     FROM pull_layer WHERE pull_layer.pull = pull.pull) AS layers
  FROM pull JOIN lease USING (pull)`;

export function announcePull(
  db: SqliteConnection,
  { pull, process, source, platform, terms }: NewPull,
  isAlive: (process: ProcessIdentity) => boolean,
  now: number,
): PullAnnouncement {
  const same = db
    .statement<[string, string, string], PullRow>(`${SELECT_PULL} WHERE source = ? AND platform = ? AND terms = ?`)
    .all(source, platform, terms)
    .map(pullRecord);
  const living = same.find((other) => isAlive(other.process));
  if (living !== undefined) return { state: 'busy', pull: living };
  const replaced = same.map((other) => other.pull);
  closeLeases(db, replaced);
  openLease(db, pull, process, now);
  db.statement<[string, string, string, string]>(
    'INSERT INTO pull (pull, source, platform, terms) VALUES (?, ?, ?, ?)',
  ).run(pull, source, platform, terms);
  return { state: 'announced', replaced };
}

export function reportPull(db: SqliteConnection, pull: string, { image, layers }: PullReport): void {
  const changed = db.statement<[ImageId, string]>('UPDATE pull SET image = ? WHERE pull = ?').run(image, pull).changes;
  if (changed === 0) return;
  const put = db.statement<[string, number, string, string, number, number]>(
    `INSERT INTO pull_layer (pull, position, layer, phase, bytes, total) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET layer = excluded.layer, phase = excluded.phase, bytes = excluded.bytes, total = excluded.total`,
  );
  for (const [position, { layer, phase, bytes, total }] of layers.entries()) {
    put.run(pull, position, layer, phase, bytes, total);
  }
  // An archive of several images reports one after the other.
  db.statement<[string, number]>('DELETE FROM pull_layer WHERE pull = ? AND position >= ?').run(pull, layers.length);
}

export function finishPull(db: SqliteConnection, pull: string, result: PullResult, at: number): void {
  const key = db.statement<[string], PullKey>('SELECT source, platform, terms FROM pull WHERE pull = ?').get(pull);
  if (key === undefined) return;
  closeLeases(db, [pull]);
  // Those of a time when the clock was far ahead, too: they would stay until it has come there.
  db.statement<[number, number]>('DELETE FROM pull_outcome WHERE finished_at < ? OR finished_at > ?').run(
    at - OUTCOME_KEPT,
    at + OUTCOME_KEPT,
  );
  db.statement<[string, string, string, string, number, string]>(
    'INSERT OR REPLACE INTO pull_outcome (source, platform, terms, pull, finished_at, result) VALUES (?, ?, ?, ?, ?, ?)',
  ).run(key.source, key.platform, key.terms, pull, at, JSON.stringify(result));
}

export function runningPulls(
  db: SqliteConnection,
  { source, platform }: Pick<PullKey, 'source' | 'platform'>,
): FoundPulls['running'] {
  return db
    .statement<[string, string], PullRow>(`${SELECT_PULL} WHERE source = ? AND platform = ? ORDER BY since, pull`)
    .all(source, platform)
    .map(pullRecord);
}

export function pullOutcomes(
  db: SqliteConnection,
  { source, platform }: Pick<PullKey, 'source' | 'platform'>,
): FoundPulls['outcomes'] {
  return db
    .statement<[string, string], OutcomeRow>(
      'SELECT * FROM pull_outcome WHERE source = ? AND platform = ? ORDER BY finished_at DESC, pull',
    )
    .all(source, platform)
    .map(
      ({ finished_at: finishedAt, result, ...row }): PullOutcome => ({
        ...row,
        finishedAt,
        result: JSON.parse(result),
      }),
    );
}

export function listPulls(db: SqliteConnection): PullRecord[] {
  return db.statement<[], PullRow>(`${SELECT_PULL} ORDER BY since, pull`).all().map(pullRecord);
}

function pullRecord({ image, layers, ...row }: PullRow): PullRecord {
  return { ...row, image: image ?? undefined, layers: JSON.parse(layers) as PullLayer[] };
}
