import { BACKEND_NAMES } from '../backends/backend.js';
import type { BackendReport } from '../backends/backends.js';
import type { Get } from '../base/assembly.js';
import { readNames } from '../files/tree/read-names.js';
import type { PostponedEntry } from '../layer-store/sweeper.js';
import { betterSqlite3MissingReason, sqliteDriver } from '../metadata/sqlite/drivers/choose-driver.js';
import type { SqliteModule } from '../metadata/sqlite/drivers/process-sqlite.js';
import type { Degradation } from '../store-directory/fidelity.js';
import type { ReadOnlyStore } from '../store-directory/find-store.js';
import type { StoreFormat } from '../store-directory/store-format.js';
import { isalMissingReason, loadIsal } from '../system/compression/isal/load-isal.js';
import { zstdMissingReason } from '../system/compression/zstd/load-zstd.js';
import type { StoreLockState } from '../system/locks/store-lock-state.js';
import { loadSyscalls, nativeMissingReason } from '../system/syscalls/load-syscalls.js';
import type { OpenStore } from './open-store.js';
import { BACKENDS, FIDELITY, POOL, STORE_LOCK, SWEEPER } from './services.js';

export interface StoreInfo {
  readonly root: string;
  readonly format: StoreFormat;
  readonly owner: string;
  /** Why nothing can be written to it, and what to do about that; undefined where all is well. */
  readonly readOnly: ReadOnlyStore | undefined;
  /** `native` with koffi on Linux. */
  readonly syscalls: 'native' | 'native-free';
  /** Why they are not native. */
  readonly nativeMissing: string | undefined;
  /** What its layers lose though this machine could keep it; undefined for a store that is as good as it can be here. */
  readonly degradation: Degradation | undefined;
  /** What keeps the records: better-sqlite3 where it can be loaded, else Node's own from 22.13 on; undefined for records in memory. */
  readonly sqlite: SqliteModule | undefined;
  /** Why that is not better-sqlite3. */
  readonly betterSqlite3Missing: string | undefined;
  /** What inflates gzip layers: ISA-L where the system has it, else Node's zlib. */
  readonly gzip: 'isal' | 'zlib';
  /** Why that is not ISA-L. */
  readonly isalMissing: string | undefined;
  /** What inflates zstd layers: Node's own from 22.15 on, else libzstd where the system has it, else JavaScript. */
  readonly zstd: 'libzstd' | 'node' | 'javascript';
  /** Why that is not libzstd. */
  readonly zstdMissing: string | undefined;
  readonly workers: number;
  readonly backends: readonly BackendReport[];
  readonly images: number;
  readonly layers: number;
  readonly containers: number;
  /** Who is at the lock just now. */
  readonly lock: StoreLockState;
  /** What waits in `gc/` to be deleted; `postponed` is what this process tried to delete and could not. */
  readonly gc: { readonly entries: number; readonly postponed: readonly PostponedEntry[] };
}

export async function storeInfo(store: OpenStore, get: Get<OpenStore>): Promise<StoreInfo> {
  const { metadata, format, owner, readOnly, paths } = store;
  const { chooseZstdDecoder } = await import('../system/compression/inflate-zstd.js');
  const decoder = chooseZstdDecoder();
  const hasFile = store.options.records !== 'memory';
  return {
    root: paths.root,
    format,
    owner,
    readOnly,
    syscalls: loadSyscalls().kind,
    nativeMissing: nativeMissingReason(),
    degradation: get(FIDELITY).degradation(),
    sqlite: hasFile ? sqliteDriver().place.module : undefined,
    betterSqlite3Missing: hasFile ? betterSqlite3MissingReason() : undefined,
    gzip: loadIsal() === null ? 'zlib' : 'isal',
    isalMissing: isalMissingReason(),
    zstd: typeof decoder === 'string' ? decoder : 'libzstd',
    zstdMissing: zstdMissingReason(),
    workers: get(POOL).size,
    backends: readOnly === undefined ? (await get(BACKENDS)).report() : unusable(readOnly),
    ...(await metadata.count()),
    lock: get(STORE_LOCK).state(),
    gc: { entries: (await readNames(paths.gc)).length, postponed: get(SWEEPER).postponed },
  };
}

/** Whichever works elsewhere, none makes anything in a store that can only be read. */
function unusable({ reason }: ReadOnlyStore): BackendReport[] {
  return BACKEND_NAMES.map((name) => ({ name, chosen: false, usable: false, reason }));
}
