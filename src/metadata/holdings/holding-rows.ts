import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type {
  HeldBy,
  HoldingChange,
  HoldingKey,
  HoldingRecord,
  HoldingsWanted,
  HoldingTaker,
  TakenHoldings,
  WantedHolding,
} from './holding-records.js';
import { chosenNames } from './wanted-names.js';

/** Holdings in SQLite. Each function runs inside a transaction of its caller. */

interface HoldingRow extends Omit<HoldingRecord, 'holder' | 'details'> {
  readonly holder: string | null;
  readonly details: string | null;
}

const COLUMNS = 'kind, name, holder, process, boot AS bootId, since, details';

/** Writes nothing where not all is to be had. */
export function takeHoldings(
  db: SqliteConnection,
  { holder, process, bootId }: HoldingTaker,
  wanted: readonly WantedHolding[],
  now: number,
): TakenHoldings {
  const find = db.statement<[string, string], HoldingRow>(`SELECT ${COLUMNS} FROM holding WHERE kind = ? AND name = ?`);
  const taken: HoldingRecord[] = [];
  for (const wish of wanted) {
    const { kind, details } = wish;
    const chosen = chosenNames(wish, (name) => recordOf(find.get(kind, name)));
    if ('held' in chosen) return { held: chosen.held };
    for (const name of chosen.names) taken.push({ kind, name, holder, process, bootId, since: now, details });
  }
  const insert = db.statement<[string, string, string | null, string, string, number, string | null]>(
    'INSERT INTO holding (kind, name, holder, process, boot, since, details) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  for (const one of taken) {
    insert.run(one.kind, one.name, one.holder ?? null, process, bootId, now, one.details ?? null);
  }
  return { taken };
}

export function changeHolding(
  db: SqliteConnection,
  { kind, name }: HoldingKey,
  { from, holder, details }: HoldingChange,
): boolean {
  const { changes } = db
    .statement<[string | null, string | null, string, string, string | null]>(
      'UPDATE holding SET holder = coalesce(?, holder), details = coalesce(?, details) WHERE kind = ? AND name = ? AND holder IS ?',
    )
    .run(holder ?? null, details ?? null, kind, name, from);
  return changes > 0;
}

export function releaseHoldings(db: SqliteConnection, holdings: readonly HeldBy[]): void {
  const release = db.statement<[string, string, string | null]>(
    'DELETE FROM holding WHERE kind = ? AND name = ? AND holder IS ?',
  );
  for (const { kind, name, holder } of holdings) release.run(kind, name, holder ?? null);
}

/** The first so many after a key. */
export function holdingPage(
  db: SqliteConnection,
  { kind, holder }: HoldingsWanted,
  after: HoldingKey | undefined,
  limit: number,
): HoldingRecord[] {
  const wanted = { kind: kind ?? null, holder: holder ?? null };
  const last = { lastKind: after?.kind ?? '', lastName: after?.name ?? '' };
  return db
    .statement<[object], HoldingRow>(
      `SELECT ${COLUMNS} FROM holding
       WHERE (@kind IS NULL OR kind = @kind) AND (@holder IS NULL OR holder = @holder) AND (kind, name) > (@lastKind, @lastName)
       ORDER BY kind, name LIMIT @limit`,
    )
    .all({ ...wanted, ...last, limit })
    .map((row) => recordOf(row));
}

function recordOf(row: HoldingRow): HoldingRecord;
function recordOf(row: HoldingRow | undefined): HoldingRecord | undefined;
function recordOf(row: HoldingRow | undefined): HoldingRecord | undefined {
  return row && { ...row, holder: row.holder ?? undefined, details: row.details ?? undefined };
}
