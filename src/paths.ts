import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { digestHex, type LayerId } from './image/digest.js';

/**
 * The store on disk, drawn once. Every other file asks here, so that a path has one spelling.
 *
 *   <root>/
 *   ├── format                            store format and whiteout format; an unknown one is refused
 *   ├── metadata.sqlite                   records (WAL)
 *   ├── lock                              cross-process read-write lock
 *   ├── staging/<pull-id>/<n>/            a layer being unpacked, laid out like the layer it becomes
 *   ├── layers/<hex of the layer id>/     a complete layer, never changed
 *   │   ├── rootfs/                       its files
 *   │   ├── stacking.json                 what it says about the layers below it; absent when it says nothing
 *   │   └── contents                      what its files were like when it was complete: what a check compares with
 *   ├── gc/<name>.<nanoseconds>           retired directories, to be swept
 *   └── containers/<id>/                  nested: containers/<id>/containers/<child>/
 *       └── backends/<backend>/
 *           ├── rootfses/<rootfs-id>/     the root filesystem
 *           └── scratch/<rootfs-id>/      overlay's upper/ and work/
 */
export class StorePaths {
  /** Absolute. */
  readonly root: string;

  constructor(root: string) {
    this.root = resolve(root);
  }

  get format(): string {
    return join(this.root, 'format');
  }
  get metadata(): string {
    return join(this.root, 'metadata.sqlite');
  }
  get lock(): string {
    return join(this.root, 'lock');
  }
  get staging(): string {
    return join(this.root, 'staging');
  }
  get layers(): string {
    return join(this.root, 'layers');
  }
  get gc(): string {
    return join(this.root, 'gc');
  }
  get containers(): string {
    return join(this.root, 'containers');
  }

  pullStaging(pullId: string): string {
    return join(this.staging, pullId);
  }
  /** @param n which of the pull's layers, or the id of a seam */
  stagedLayer(pullId: string, n: number | LayerId): string {
    return join(this.staging, pullId, typeof n === 'number' ? String(n) : digestHex(n));
  }
  layer(id: LayerId): string {
    return join(this.layers, digestHex(id));
  }
  layerRootfs(id: LayerId): string {
    return layerRootfs(this.layer(id));
  }
  /** @param nanoseconds makes the name unique; the time of retirement since the epoch */
  retired(name: string, nanoseconds: bigint): string {
    return join(this.gc, `${name}.${nanoseconds}`);
  }
  /** @param containerId checked by `parseContainerId`: its parts hold no path tricks */
  container(containerId: string): string {
    return join(this.root, ...containerId.split('/').flatMap((part) => ['containers', part]));
  }
  rootfs(containerId: string, backend: string, rootfsId: string): string {
    return join(this.container(containerId), 'backends', backend, 'rootfses', rootfsId);
  }
  scratch(containerId: string, backend: string, rootfsId: string): string {
    return join(this.container(containerId), 'backends', backend, 'scratch', rootfsId);
  }
}

/** Where a layer directory, staged or complete, keeps its files. */
export function layerRootfs(layerDirectory: string): string {
  return join(layerDirectory, 'rootfs');
}

/** Where a layer directory keeps what it says about the layers below it. */
export function layerStacking(layerDirectory: string): string {
  return join(layerDirectory, 'stacking.json');
}

/** Where a layer directory keeps the record of its files. */
export function layerContents(layerDirectory: string): string {
  return join(layerDirectory, 'contents');
}

/** Overlay's two directories below a scratch directory. */
export function overlayScratch(scratch: string): { readonly upper: string; readonly work: string } {
  return { upper: join(scratch, 'upper'), work: join(scratch, 'work') };
}

/** `/var/lib/provisioner` for root, else below `$XDG_DATA_HOME` (default `~/.local/share`). */
export function defaultRoot(environment: NodeJS.ProcessEnv = process.env, uid = process.getuid?.()): string {
  if (uid === 0) return '/var/lib/provisioner';
  return join(environment['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'provisioner');
}
