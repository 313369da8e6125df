import type { HoldingRecords } from './holdings/holding-records.js';
import type { ImageRecords } from './images/image-records.js';
import type { LaunchRecords } from './launches/launch-records.js';
import type { LayerRecords } from './layers/layer-records.js';
import type { LeaseRecords } from './leases/lease-records.js';
import type { PullRecords } from './pulls/pull-records.js';
import type { Removals } from './removals/removals.js';
import type { RootfsRecords } from './rootfses/rootfs-records.js';
import type { RecordsState } from './state/records-state.js';
import type { VolumeRecords } from './volumes/volume-records.js';

export type * from './holdings/holding-records.js';
export type * from './images/image-records.js';
export type * from './launches/launch-records.js';
export type * from './layers/layer-records.js';
export type * from './leases/lease-records.js';
export type * from './pulls/pull-records.js';
export type * from './removals/removals.js';
export type * from './rootfses/rootfs-records.js';
export type * from './state/records-state.js';
export type * from './volumes/volume-records.js';

/**
 * Answers for all that the store knows beside its files.
 *
 * Three words: the **metadata manager** is what is asked; the **records** are what it keeps, on SQLite or in memory: one for each image, each layer and so on; a
 * **section** is a part of the records that belongs together, with the calls to it. The manager is the sum of its sections. Each has a folder here, with its
 * interface and the shapes of its records, its tables and migrations, and both implementations; its contract is `native-free-tests/contracts/metadata-….ts`.
 *
 * | section     | keeps                                              | and layers by                             |
 * |-------------|----------------------------------------------------|-------------------------------------------|
 * | `images/`   | images, their stacks and names, choices of indexes | a foreign key from each row of a stack    |
 * | `layers/`   | layers, claims                                     | –                                         |
 * | `rootfses/` | rootfses, which make up containers                 | a foreign key to the stack of their image |
 * | `launches/` | what runs in containers, and what happened to it  | –                                         |
 * | `holdings/` | what only one may have at a time: addresses, ports, devices | –                                 |
 * | `volumes/`  | directories with names, and which rootfses have them | a foreign key from each use to its rootfs |
 * | `leases/`   | what pulls under way need                          | a question that each removal asks         |
 * | `pulls/`    | pulls under way, and what became of others         | –                                         |
 * | `removals/` | nothing: takes out of the others what nobody needs | –                                         |
 * | `state/`    | whether the records tell of everything             | –                                         |
 *
 * Who needs one section only can ask for its interface; the names of calls are unique among all of them. A new section is added here, in
 * `sectioned-metadata-manager.ts`, in both managers, and with its tables in `sqlite/schema.ts`: the compiler tells what is still missing.
 *
 * Every method is one transaction, unless it says otherwise: it happens whole or not at all, survives `kill -9` once it has resolved, and is seen
 * by all processes that have the store open. A store that another process is writing is waited for without blocking the event loop; after
 * `busyTimeout` the call fails with `ERR_STORE_BUSY`.
 */
export interface MetadataManager
  extends ImageRecords,
    LayerRecords,
    RootfsRecords,
    LaunchRecords,
    HoldingRecords,
    VolumeRecords,
    LeaseRecords,
    PullRecords,
    Removals,
    RecordsState {
  /** Ends every use of the store: calls after it, and those still waiting for another process, fail with `ERR_CLOSED`. Safe to call twice. */
  close(): Promise<void>;
}
