import { existsSync, readdirSync } from 'node:fs';
import { ProvisionerError } from '../base/errors.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import { sqliteDriver } from '../metadata/sqlite/drivers/choose-driver.js';
import type { Freeing } from '../metadata/sqlite/records-database.js';
import type { StorePaths } from '../paths.js';
import { longWorkOn } from '../workers/records-on-thread.js';

/** SQLite takes 512 bytes, for the names of its companion files too. @see SQLite, os_unix.c, MAX_PATHNAME */
const SQLITE_PATH_MAX = 500;

export type RecordsKind = 'sqlite' | 'memory';

/**
 * Finds out, before anything of a store is made, what would keep its records from being opened.
 * @throws ProvisionerError `ERR_BAD_OPTION` for a path that is too long, `ERR_NATIVE_MISSING`
 */
export async function checkRecords(paths: StorePaths, kind: RecordsKind): Promise<void> {
  if (kind === 'memory') return;
  const length = Buffer.byteLength(paths.metadata);
  if (length > SQLITE_PATH_MAX) {
    throw new ProvisionerError(
      'ERR_BAD_OPTION',
      `the path of the store is too long for its database: ${length} bytes`,
      {
        hint: `choose a root of at most ${SQLITE_PATH_MAX - length + Buffer.byteLength(paths.root)} bytes`,
        details: { root: paths.root, length, limit: SQLITE_PATH_MAX },
      },
    );
  }
  sqliteDriver();
}

/** @param access `durable`: whether what has been reported survives a power cut; `readOnly`: nothing is made or written; `freeing`: makes room for removals on a full disk */
export async function openRecords(
  paths: StorePaths,
  kind: RecordsKind,
  { freeing, ...access }: { readonly durable: boolean; readonly readOnly: boolean; readonly freeing?: Freeing },
): Promise<MetadataManager> {
  if (kind === 'memory') {
    const { MemoryMetadataManager } = await import('../metadata/memory/memory-metadata-manager.js');
    return new MemoryMetadataManager();
  }
  const { SqliteMetadataManager } = await import('../metadata/sqlite/sqlite-metadata-manager.js');
  // Neither a layer nor a container has a name that begins with a dot; what has is somebody's who is just making the store.
  const isEmpty = (directory: string) =>
    !existsSync(directory) || readdirSync(directory).every((name) => name.startsWith('.'));
  const isStoreEmpty = () => isEmpty(paths.layers) && isEmpty(paths.containers);
  return SqliteMetadataManager.open(paths.metadata, {
    ...access,
    ...(freeing === undefined ? {} : { freeing }),
    isStoreEmpty,
    generationFile: paths.generation,
    longWork: longWorkOn({ path: paths.metadata, sqlite: sqliteDriver().place, ...access }),
  });
}
