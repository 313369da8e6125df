import { setMaxListeners } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Backends } from '../backends/backends.js';
import type { Get, Service } from '../base/assembly.js';
import {
  DEFAULT_MAX_DOWNLOADS,
  DEFAULT_PULL_COOL_DOWN,
  DEFAULT_PULL_LIMITS,
  defaultWorkers,
  type PullLimits,
} from '../base/config.js';
import { fileError, systemCode } from '../base/errors.js';
import { overridden } from '../base/options/check-options.js';
import type { CheckNeeds } from '../check/check-needs.js';
import { ParkedLayers } from '../check/parked-layers.js';
import type { Containers } from '../containers/containers.js';
import type { Forks } from '../containers/forks.js';
import { Holders } from '../containers/holders.js';
import type { Recovery } from '../containers/recovery.js';
import { RootfsDirectories } from '../containers/rootfses/rootfs-directories.js';
import { Marks } from '../files/tree/marks.js';
import { DiskSync } from '../layer-store/disk-sync.js';
import type { LayerStoreNeeds } from '../layer-store/layer-store.js';
import { Sweeper } from '../layer-store/sweeper.js';
import type { StorePaths } from '../paths.js';
import { type Keeper, STORE_KEEPERS } from '../prune/keepers.js';
import type { Pruner } from '../prune/pruner.js';
import type { ImageRequests } from '../pulls/image-requests.js';
import { Registries } from '../pulls/registries.js';
import { Fidelity } from '../store-directory/fidelity.js';
import { OwnerWitness } from '../store-directory/owner-witness.js';
import { PROBE, transientName } from '../system/locks/process-identity.js';
import type { StoppedWaitRoom } from '../system/locks/stopped-wait.js';
import { StoreLock } from '../system/locks/store-lock.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import type { LockFile } from '../system/syscalls/lock-file.js';
import type { Volumes } from '../volumes/volumes.js';
import { WorkerPool } from '../workers/worker-pool.js';
import type { OpenStore } from './open-store.js';
import { warnOfGap, warnOfMaker, warnOfStopped, warnOfWait } from './warnings.js';

/*
 * What works on an open store. The code of what not every command needs is loaded when it is first asked for: a list of the images should not wait for the code
 * that unpacks them.
 */

type StoreService<T> = Service<OpenStore, T>;
type GetService = Get<OpenStore>;

/**
 * Guards which directories under `layers/` may disappear. Shared by provision until it has recorded which layers it needs, and by destroy until it has
 * forgotten what it took apart. Held alone by prune until its renames into `gc/` are done, and by recovery, check, destroy and pull where they compare what
 * stands on disk with the records, or change it: docs/architecture.md, "Locks", names each. Nothing that is called with it held asks for it again.
 * Order: a container's own lock, then this one, then a metadata transaction. With it held nobody waits for a claim or a life; a pull has a claim before it.
 */
export const STORE_LOCK: StoreService<StoreLock> = {
  open: ({ paths, options, readOnly, events }) => {
    const lockFile = () => openLockFile(paths, options.records ?? 'sqlite', readOnly !== undefined);
    return new StoreLock(lockFile, { onLongWait: warnOfWait(events), timeout: options.lockTimeout });
  },
  close: (lock) => lock.close(),
};

/** What waits for other processes' pulls and layers have in common. */
const STOPPED_WAITS: StoreService<StoppedWaitRoom> = {
  open: ({ liveness, options, events }) => ({
    isStopped: liveness.isStopped,
    onLongWait: warnOfStopped(events),
    timeout: options.lockTimeout,
    told: new Set(),
  }),
};

export const POOL: StoreService<WorkerPool> = {
  open: ({ options: { workers = defaultWorkers(), maxDownloads = DEFAULT_MAX_DOWNLOADS } }) =>
    new WorkerPool(workers, { downloads: maxDownloads }),
  close: (pool) => pool.close(),
};

export const SWEEPER: StoreService<Sweeper> = {
  open: ({ paths, events, reserve }) => new Sweeper(paths, events, () => reserve.release()),
  close: (sweeper) => sweeper.close(),
};

const DISK: StoreService<DiskSync> = {
  open: ({ paths, options }, get) => new DiskSync(paths.staging, get(POOL), options.unsafeNoSync !== true),
};

export const REGISTRIES: StoreService<Registries> = {
  open: ({ events }) => new Registries(events),
  close: (registries) => registries.close(),
};

const WITNESS: StoreService<OwnerWitness> = {
  open: (store) => new OwnerWitness(store.paths.owners, () => tryIn(store)),
};

const MARKS: StoreService<Marks> = {
  open: (store, get) => {
    const owners = () => get(WITNESS).outOfReach();
    return new Marks({ format: store.format.whiteouts, tryIn: () => tryIn(store), syscalls: loadSyscalls, owners });
  },
};

export const FIDELITY: StoreService<Fidelity> = {
  open: (store, get) =>
    new Fidelity({
      format: store.format,
      marks: get(MARKS),
      witness: get(WITNESS),
      tryIn: () => tryIn(store),
      syscalls: loadSyscalls,
      allowDegraded: store.options.allowDegraded === true,
      events: store.events,
    }),
};

/** Tells that the records do not tell everything, to whoever looks something up in them. */
export const GAP_WARNING: StoreService<() => Promise<void>> = { open: warnOfGap };

export const DIRECTORIES: StoreService<RootfsDirectories> = {
  open: ({ paths }, get) => new RootfsDirectories(paths, get(SWEEPER), loadSyscalls),
};

/** Aborted when the pulls are given up that were requested in the background, and those that are only going to be. */
export const GIVING_UP: StoreService<AbortController> = {
  open: () => {
    const givingUp = new AbortController();
    setMaxListeners(0, givingUp.signal);
    return givingUp;
  },
};

export const IMAGE_REQUESTS: StoreService<Promise<ImageRequests>> = {
  open: async (store, get) => {
    const { ImageRequests } = await import('../pulls/image-requests.js');
    const { pullCoolDown: coolDown = DEFAULT_PULL_COOL_DOWN, registry } = store.options;
    const needs = { ...layerStoreNeeds(store, get), registries: get(REGISTRIES), limits: limitsOf(store), coolDown };
    return new ImageRequests(needs, registry, get(GIVING_UP).signal);
  },
  close: (requests) => requests.idle(),
};

export const BACKENDS: StoreService<Promise<Backends>> = {
  open: async ({ format, privileged, paths, liveness, events }, get) => {
    const { makeBackends } = await import('../backends/make-backends.js');
    const tried = { marks: get(MARKS), witness: get(WITNESS), fidelity: get(FIDELITY) };
    return makeBackends({ format, privileged, paths, liveness, events, pool: get(POOL), ...tried });
  },
};

/** Those that run something in containers. */
export const HOLDERS: StoreService<Holders> = { open: () => new Holders() };

export const CONTAINERS: StoreService<Promise<Containers>> = {
  open: async ({ paths, metadata, owner, liveness, options, events }, get) => {
    const [{ Containers }, backends] = await Promise.all([import('../containers/containers.js'), get(BACKENDS)]);
    const sync = () => get(DISK).all();
    const makerWaits = { timeout: options.lockTimeout, onLongWait: warnOfMaker(events) };
    const shared = {
      paths,
      metadata,
      backends,
      directories: get(DIRECTORIES),
      storeLock: get(STORE_LOCK),
      holders: get(HOLDERS),
      owner,
      liveness,
      events,
    };
    return new Containers({ ...shared, makerWaits, sync });
  },
};

export const FORKS: StoreService<Promise<Forks>> = {
  open: async ({ paths, metadata, owner, liveness, privileged, format, events }, get) => {
    const [{ Forks }, backends, containers] = await Promise.all([
      import('../containers/forks.js'),
      get(BACKENDS),
      get(CONTAINERS),
    ]);
    const shared = { paths, metadata, owner, liveness, privileged, events, whiteouts: format.whiteouts };
    const parts = { backends, containers, directories: get(DIRECTORIES), storeLock: get(STORE_LOCK), pool: get(POOL) };
    return new Forks({ ...shared, ...parts, sync: () => get(DISK).all() });
  },
};

/** What keeps images and layers: of the store's own, and what others have added. */
export const KEEPERS: StoreService<Set<Keeper>> = { open: () => new Set(STORE_KEEPERS) };

export const PRUNER: StoreService<Promise<Pruner>> = {
  open: async ({ paths, metadata, liveness, options }, get) => {
    const { Pruner } = await import('../prune/pruner.js');
    const shared = {
      paths,
      metadata,
      liveness,
      storeLock: get(STORE_LOCK),
      sweeper: get(SWEEPER),
      syscalls: loadSyscalls,
    };
    return new Pruner({ ...shared, keepers: get(KEEPERS), isShared: options.records !== 'memory' });
  },
};

/** Sweeps layers that were healed while they were in use, when they are not any more. */
export const PARKED_LAYERS: StoreService<ParkedLayers> = {
  open: ({ paths, metadata }, get) => new ParkedLayers(paths, metadata, get(SWEEPER)),
};

export const VOLUMES: StoreService<Promise<Volumes>> = {
  open: async ({ paths, metadata, owner, liveness, privileged, format, options }, get) => {
    const { Volumes } = await import('../volumes/volumes.js');
    return new Volumes({
      paths,
      metadata,
      owner,
      liveness,
      privileged,
      whiteouts: format.whiteouts,
      lockTimeout: options.lockTimeout,
      pool: get(POOL),
      sweeper: get(SWEEPER),
      syscalls: loadSyscalls,
      sync: () => get(DISK).all(),
    });
  },
};

export const RECOVERY: StoreService<Promise<Recovery>> = {
  open: async ({ paths, metadata, owner, liveness }, get) => {
    const [{ Recovery }, { Remounter }, containers, backends] = await Promise.all([
      import('../containers/recovery.js'),
      import('../containers/remounter.js'),
      get(CONTAINERS),
      get(BACKENDS),
    ]);
    const shared = { paths, metadata, liveness, storeLock: get(STORE_LOCK), directories: get(DIRECTORIES) };
    const remounter = new Remounter({ ...shared, backends });
    const needs = { ...shared, sweeper: get(SWEEPER), holders: get(HOLDERS), owner, containers, remounter };
    return new Recovery({ ...needs, syscalls: loadSyscalls });
  },
};

/** What those need who check and measure. @param liveness of its own where it claims something: a check must not take the claims of this process's pulls for its own */
export function checkNeeds(store: OpenStore, get: GetService, liveness = store.liveness): CheckNeeds {
  return {
    ...layerStoreNeeds(store, get),
    registries: get(REGISTRIES),
    marks: get(MARKS),
    reserve: store.reserve,
    liveness,
    registry: store.options.registry ?? {},
    syscalls: loadSyscalls,
  };
}

/** What those need who store layers. */
function layerStoreNeeds(store: OpenStore, get: GetService): LayerStoreNeeds {
  const { paths, place, metadata, liveness, events, privileged, format } = store;
  return {
    paths,
    place,
    metadata,
    sweeper: get(SWEEPER),
    liveness,
    storeLock: get(STORE_LOCK),
    stoppedWaits: get(STOPPED_WAITS),
    pool: get(POOL),
    disk: get(DISK),
    events,
    privileged,
    whiteouts: format.whiteouts,
    fidelity: get(FIDELITY),
    limits: limitsOf(store),
    tarRecords: store.options.tarRecords ?? true,
  };
}

function limitsOf({ options }: OpenStore): PullLimits {
  return overridden(DEFAULT_PULL_LIMITS, options.limits);
}

/** What this process may do with files can be found out on another file system too. */
function tryIn({ readOnly, paths, liveness }: OpenStore): string {
  return readOnly === undefined
    ? join(paths.staging, transientName(PROBE, liveness.identity))
    : join(tmpdir(), `provisioner-${PROBE}-`);
}

/** None in memory: there nobody else has the store open. None where the system has no such locks, which `prune` then says. */
function openLockFile(paths: StorePaths, records: 'sqlite' | 'memory', readOnly: boolean): LockFile | undefined {
  if (records === 'memory') return undefined;
  try {
    return loadSyscalls().openLockFile(paths.lock, { readOnly });
  } catch (error) {
    const code = systemCode(error);
    // A store in which nobody has needed it yet has none, and where nothing can be written nobody makes one.
    if (code === 'ENOTSUP' || (readOnly && code === 'ENOENT')) return undefined;
    throw fileError(error, 'open the lock', paths.lock);
  }
}
