import { join } from 'node:path';
import { directoryFrom, homeDirectory } from './base/config.js';
import { ProvisionerError } from './base/errors.js';
import { absolutePath } from './base/working-directory.js';
import { digestHex, isDigest, type LayerId } from './image/digest.js';

/**
 * The store on disk, drawn once. Every other file asks here, so that a path has one spelling.
 *
 *   <root>/
 *   ├── format                            store format and whiteout format; an unknown one is refused
 *   ├── metadata.sqlite                   records (WAL)
 *   ├── generation                        how far the records have come, so that older ones put back from a backup are told
 *   ├── lock                              cross-process read-write lock
 *   ├── owners                            belongs to user 1, so that it shows who sees other ids; made with the first layer
 *   ├── alive/<life>                      held by a lock for as long as its process lives; made with the first one
 *   ├── reserve/                          space that is given up when the disk is full
 *   ├── staging/<pull-id>/<n>/            a layer being unpacked, laid out like the layer it becomes
 *   ├── staging/<pull-id>/<n>.parked/     a directory of parked/ being made, with a fresh copy in it
 *   ├── layers/<hex of the layer id>/     a complete layer, never changed
 *   │   ├── rootfs/                       its files
 *   │   ├── stacking.json                 what it says about the layers below it; absent when it says nothing
 *   │   ├── contents                      what its files were like when it was complete: what a check compares with
 *   │   └── tar                           what is needed beside its files to make its archive again; absent where that was not kept
 *   ├── gc/<name>.<nanoseconds>           retired directories, to be swept
 *   ├── parked/<hex>.<nanoseconds>/       a layer that was replaced while root filesystems show it; made with the first one
 *   │   ├── layer/                        as it was, damage included
 *   │   └── users.json                    the root filesystems that still need it
 *   ├── volumes/<name>/                   a volume, which outlives the containers that have it; made with the first one
 *   ├── launches/<launch-id>/             one execution of a container's program: what whoever runs it keeps of it; made with the first one
 *   └── containers/<id>/                  nested: containers/<id>/containers/<child>/
 *       └── backends/<backend>/
 *           ├── rootfses/<rootfs-id>/     the root filesystem
 *           └── scratch/<rootfs-id>/      overlay's upper/ and work/; empty/ for an image without layers; volumes/ for those without a name;
 *                                         memory/, where a tmpfs is mounted that has upper/, work/ and volumes/ in it, for what keeps them in memory
 */
export class StorePaths {
  /** Absolute. */
  readonly root: string;

  /** @throws ProvisionerError `ERR_BAD_OPTION` for a relative path from a working directory that has been deleted */
  constructor(root: string) {
    this.root = absolutePath(root);
  }

  get format(): string {
    return below(this.root, 'format');
  }
  get metadata(): string {
    return below(this.root, 'metadata.sqlite');
  }
  get generation(): string {
    return below(this.root, 'generation');
  }
  get lock(): string {
    return below(this.root, 'lock');
  }
  get owners(): string {
    return below(this.root, 'owners');
  }
  get alive(): string {
    return below(this.root, 'alive');
  }
  get reserve(): string {
    return below(this.root, 'reserve');
  }
  get staging(): string {
    return below(this.root, 'staging');
  }
  get layers(): string {
    return below(this.root, 'layers');
  }
  get gc(): string {
    return below(this.root, 'gc');
  }
  get parked(): string {
    return below(this.root, 'parked');
  }
  get launches(): string {
    return below(this.root, 'launches');
  }
  get volumes(): string {
    return below(this.root, 'volumes');
  }
  get containers(): string {
    return below(this.root, 'containers');
  }

  pullStaging(pullId: string): string {
    return below(this.staging, pullId);
  }
  /** @param n which of the pull's layers, or the id of a seam */
  stagedLayer(pullId: string, n: number | LayerId): string {
    return below(this.staging, pullId, typeof n === 'number' ? String(n) : digestHex(n));
  }
  layer(id: LayerId): string {
    return below(this.layers, digestHex(id));
  }
  layerRootfs(id: LayerId): string {
    return layerRootfs(this.layer(id));
  }
  /** @param nanoseconds makes the name unique; the time of retirement since the epoch */
  retired(name: string, nanoseconds: bigint): string {
    return below(this.gc, `${name}.${nanoseconds}`);
  }
  /** @param nanoseconds makes the name unique; the time of the replacement since the epoch */
  parkedLayer(id: LayerId, nanoseconds: bigint): string {
    return below(this.parked, `${digestHex(id)}.${nanoseconds}`);
  }
  /** @param id checked by `isLaunchId` */
  launch(id: string): string {
    return below(this.launches, id);
  }
  /** @param name checked by `isVolumeName` */
  volume(name: string): string {
    return below(this.volumes, name);
  }
  /** The records, the companions that SQLite has beside them, and what tells how far they have come. */
  get records(): readonly string[] {
    return [...['', '-wal', '-shm', '-journal'].map((suffix) => `${this.metadata}${suffix}`), this.generation];
  }
  /** The directories that belong right below the root. */
  get ownDirectories(): readonly string[] {
    const { alive, reserve, staging, layers, gc, parked, launches, volumes, containers } = this;
    return [alive, reserve, staging, layers, gc, parked, launches, volumes, containers];
  }
  /** The files that belong right below the root, and to its user. */
  get ownFiles(): readonly string[] {
    return [this.format, this.lock, ...this.records];
  }
  /** All that belongs right below the root. */
  get own(): readonly string[] {
    return [...this.ownDirectories, ...this.ownFiles, this.owners];
  }
  /** @param containerId checked by `checkContainerId`: its parts hold no path tricks */
  container(containerId: string): string {
    return `${this.containers}/${containerId.replaceAll('/', '/containers/')}`;
  }
  nestedContainers(containerId: string): string {
    return below(this.container(containerId), 'containers');
  }
  backends(containerId: string): string {
    return below(this.container(containerId), 'backends');
  }
  rootfses(containerId: string, backend: string): string {
    return below(this.backends(containerId), backend, 'rootfses');
  }
  rootfs(containerId: string, backend: string, rootfsId: string): string {
    return below(this.rootfses(containerId, backend), rootfsId);
  }
  scratches(containerId: string, backend: string): string {
    return below(this.backends(containerId), backend, 'scratch');
  }
  scratch(containerId: string, backend: string, rootfsId: string): string {
    return below(this.scratches(containerId, backend), rootfsId);
  }
}

/** The layer whose directory in `layers/` has this name; undefined for a name that no layer has. The one place that says what such a name looks like. */
export function layerOfDirectory(name: string): LayerId | undefined {
  const digest = `${name.length === 128 ? 'sha512' : 'sha256'}:${name}`;
  return isDigest(digest) ? (digest as LayerId) : undefined;
}

/** Whether a text is the id of a launch, and so the name of a directory in `launches/`: 32 hex digits. */
export function isLaunchId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text);
}

/** Whether a text is the name of a volume, and so of a directory in `volumes/`. */
export function isVolumeName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/.test(text);
}

/** Layers whose files a path leads to, in whichever store and as whoever calls it what. @returns the names of their directories in `layers/`, each with its path */
export function layersNamedIn(text: string): { readonly name: string; readonly path: string }[] {
  return [...text.matchAll(/(?<=^|[:=])([^:,=]*\/layers\/([0-9a-f]+)\/rootfs)(?=$|[:,])/g)].map(
    ([, path = '', name = '']) => ({
      name,
      path,
    }),
  );
}

/** The ids of the container's rootfs that a path ends with; undefined for any other path. */
export function rootfsIdOf(path: string): string | undefined {
  return /\/containers\/[^/]+(?:\/containers\/[^/]+)*\/backends\/[^/]+\/rootfses\/([^/]+)$/.exec(path)?.[1];
}

/** Where a layer directory, staged or complete, keeps its files. */
export function layerRootfs(layerDirectory: string): string {
  return below(layerDirectory, 'rootfs');
}

/** Where a layer directory keeps what it says about the layers below it. */
export function layerStacking(layerDirectory: string): string {
  return below(layerDirectory, 'stacking.json');
}

/** Where a layer directory keeps the record of its files. */
export function layerContents(layerDirectory: string): string {
  return below(layerDirectory, 'contents');
}

/** Where a layer directory keeps what is needed to make its archive again. */
export function layerTar(layerDirectory: string): string {
  return below(layerDirectory, 'tar');
}

/** What is in the directory of a layer that was replaced while it was in use. */
export function parkedParts(parked: string): { readonly layer: string; readonly users: string } {
  return { layer: below(parked, 'layer'), users: below(parked, 'users.json') };
}

/** Where a directory of `parked/` is made, beside the staged copy that is to be swapped in. */
export function parkedDraft(stagedLayer: string): string {
  return `${stagedLayer}.parked`;
}

/** What a container's directory may hold, and what in it a backend's directory may hold. */
export function containerParts(container: string): { readonly nested: string; readonly backends: string } {
  return { nested: below(container, 'containers'), backends: below(container, 'backends') };
}
export function backendParts(backend: string): { readonly rootfses: string; readonly scratches: string } {
  return { rootfses: below(backend, 'rootfses'), scratches: below(backend, 'scratch') };
}

/** What stands below a scratch directory for the layers of an image that has none. */
export function emptyLayer(scratch: string): string {
  return below(scratch, 'empty');
}

/** What stands below a scratch directory where what is written goes to memory: what a tmpfs is mounted on. */
export function memoryPlace(scratch: string): string {
  return below(scratch, 'memory');
}

/** What stands for all volumes without a name. @param kept where a rootfs keeps what is written, see `keptIn` */
export function anonymousVolumes(kept: string): string {
  return below(kept, 'volumes');
}

/** What stands there for one of them. @param key 32 hex digits */
export function anonymousVolume(kept: string, key: string): string {
  return below(anonymousVolumes(kept), key);
}

/** `/var/lib/provisioner` for root, else below `$XDG_DATA_HOME` (default `~/.local/share`). @throws ProvisionerError `ERR_BAD_OPTION` where there is no home directory */
export function defaultRoot(environment: NodeJS.ProcessEnv = process.env, uid = process.getuid?.()): string {
  if (uid === 0) return '/var/lib/provisioner';
  const data = directoryFrom(environment, 'XDG_DATA_HOME');
  if (data !== undefined) return join(data, 'provisioner');
  const home = homeDirectory(environment);
  if (home !== undefined) return join(home, '.local', 'share', 'provisioner');
  throw new ProvisionerError('ERR_BAD_OPTION', 'there is no place for a store: this user has no home directory', {
    hint: 'name one with --root or PROVISIONER_ROOT, or set HOME or XDG_DATA_HOME to an absolute path',
  });
}

/** Nothing here has to be normalised, which took Node's `join` 30 µs of a provision and its destroy. */
function below(directory: string, ...names: string[]): string {
  return `${directory === '/' ? '' : directory}/${names.join('/')}`;
}
