import { ProvisionerError } from '../../base/errors.js';
import type { Database } from './drivers/sqlite-driver.js';
import type { Migration } from './migration.js';
import { APPLICATION_ID, SECTION_MIGRATIONS } from './schema.js';

/** The steps of all sections, in order, without gaps. A released step never changes; each has a test that starts from the version before it. */
export const MIGRATIONS: readonly Migration[] = sumOf(SECTION_MIGRATIONS);

function sumOf(sections: readonly (readonly Migration[])[]): Migration[] {
  const steps = sections.flat();
  const versions = [...new Set(steps.map(({ version }) => version))].sort((one, other) => one - other);
  return versions.map((version) => ({
    version,
    sql: steps
      .filter((step) => step.version === version)
      .map(({ sql }) => sql)
      .join(''),
  }));
}

/**
 * True when `migrate` has something to do. Writes nothing. Call it inside one transaction, so that it sees one state.
 * @throws ProvisionerError `ERR_STORE_FORMAT` for a database of a newer version, or of another program
 */
export function needsMigration(database: Database, path: string, migrations = MIGRATIONS): boolean {
  const newest = migrations.at(-1)?.version ?? 0;
  const version = headerNumber(database, 'user_version');
  if (headerNumber(database, 'application_id') !== APPLICATION_ID && !isEmpty(database)) {
    throw new ProvisionerError('ERR_STORE_FORMAT', `${path} is a database of another program`, {
      hint: 'choose another store with --root',
      details: { path },
    });
  }
  if (version > newest) {
    throw new ProvisionerError(
      'ERR_STORE_FORMAT',
      `the records at ${path} have format version ${version}, and this release reads versions up to ${newest}`,
      {
        hint: 'use the release of provisioner that wrote them, or a later one',
        details: { path, version, newest },
      },
    );
  }
  return version < newest;
}

/**
 * Brings the database to the newest version. Call it inside one write transaction, so that a crash between two steps
 * leaves the version before; another process may have done it meanwhile, so it looks again.
 */
export function migrate(database: Database, path: string, migrations = MIGRATIONS): void {
  if (!needsMigration(database, path, migrations)) return;
  const version = headerNumber(database, 'user_version');
  for (const migration of migrations) {
    if (migration.version <= version) continue;
    database.exec(migration.sql);
    database.exec(`PRAGMA user_version = ${migration.version}`);
  }
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
}

function headerNumber(database: Database, name: 'user_version' | 'application_id'): number {
  const row = database.prepare<[], Partial<Record<string, number>>>(`PRAGMA ${name}`).get();
  return row?.[name] ?? 0;
}

/** True for a file that SQLite has just made. */
export function isEmpty(database: Database): boolean {
  return database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
}
