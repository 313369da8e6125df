import { readFileSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { crashPoint } from '../base/crash-points.js';
import { systemCode } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { makeOwnDirectory, writeOwnFile } from '../base/own-files.js';
import { makeDirectories } from '../files/tree/make-directories.js';
import type { LayerId } from '../image/digest.js';
import type { Sweeper } from '../layer-store/sweeper.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import { parkedDraft, parkedParts, type StorePaths } from '../paths.js';
import { listDirectory } from './list-directory.js';
import { syncDirectories } from './sync-directories.js';

/** What `users.json` says. */
export interface ParkedLayer {
  readonly layer: LayerId;
  /** Ids of the root filesystems that show it. */
  readonly rootfses: readonly string[];
}

/**
 * Layers that were replaced while root filesystems show them. A mount holds on to the directory that it was made of, wherever that is moved; but
 * its files must not go, nor change: overlayfs leaves undefined what a mount shows whose lower layers are changed. So they wait, aside, until the last
 * root filesystem that was made before the replacement is gone.
 * @see https://docs.kernel.org/filesystems/overlayfs.html "Changes to underlying filesystems"
 */
export class ParkedLayers {
  readonly #paths: StorePaths;
  readonly #metadata: MetadataManager;
  readonly #sweeper: Pick<Sweeper, 'retire'>;

  constructor(paths: StorePaths, metadata: MetadataManager, sweeper: Pick<Sweeper, 'retire'>) {
    this.#paths = paths;
    this.#metadata = metadata;
    this.#sweeper = sweeper;
  }

  /**
   * Puts a fresh copy of a layer where it can change places with the one in use, which is then parked. The place is made in staging and appears whole: what stands
   * there without the list of its users could never be released.
   * @param copy the copy's directory in staging, synced @returns where it is now
   */
  park(copy: string, parked: ParkedLayer, nanoseconds: bigint): string {
    const draft = parkedDraft(copy);
    makeOwnDirectory(draft);
    const { layer, users } = parkedParts(draft);
    writeOwnFile(users, `${JSON.stringify(parked)}\n`, { flush: true });
    renameSync(copy, layer);
    syncDirectories(draft);
    crashPoint('repair.parkingDrafted');
    const directory = this.#paths.parkedLayer(parked.layer, nanoseconds);
    makeDirectories(this.#paths.parked);
    renameSync(draft, directory);
    syncDirectories(this.#paths.parked, this.#paths.root);
    crashPoint('repair.parked');
    return parkedParts(directory).layer;
  }

  list(): { readonly directory: string; readonly parked: ParkedLayer | undefined }[] {
    return listDirectory(this.#paths.parked).map((name) => {
      const directory = join(this.#paths.parked, name);
      return { directory, parked: readUsers(parkedParts(directory).users) };
    });
  }

  /** Whether a container, or one nested in it, shows some. @throws like Node's `fs`, and as the records */
  async isShownIn(containerId: string): Promise<boolean> {
    const parked = this.list();
    if (parked.length === 0) return false;
    const rootfses = new Set((await this.#metadata.rootfsesIn(containerId)).map(({ id }) => id));
    return parked.some(({ parked: layer }) => layer?.rootfses.some((id) => rootfses.has(id)));
  }

  /**
   * Has those swept that no root filesystem shows any more. Safe to call at any time, from any process.
   * @returns those that could not be taken away, and stay for the next time
   */
  async release(): Promise<FailedEntry[]> {
    const parked = this.list();
    // Records with a gap do not name each root filesystem that was there before.
    if (parked.length === 0 || (await this.#metadata.recordsGap()) !== undefined) return [];
    const containers = await this.#metadata.listContainers();
    const recorded = new Set(containers.flatMap(({ rootfses }) => rootfses.map(({ id }) => id)));
    const failed: FailedEntry[] = [];
    for (const { directory, parked: layer } of parked) {
      // Without a list nobody can say that it is not in use.
      if (layer === undefined || layer.rootfses.some((id) => recorded.has(id))) continue;
      try {
        this.#sweeper.retire(directory, basename(directory));
      } catch (error) {
        failed.push(failedEntry(error, 'take away a layer that nothing shows any more', directory));
      }
    }
    return failed;
  }
}

function readUsers(path: string): ParkedLayer | undefined {
  try {
    const { layer, rootfses } = Object(JSON.parse(readFileSync(path, 'utf8'))) as Partial<ParkedLayer>;
    // One that nothing shows is not parked, so a list without names is nobody's.
    if (typeof layer !== 'string' || !Array.isArray(rootfses) || rootfses.length === 0) return undefined;
    return { layer, rootfses: rootfses.map(String) };
  } catch (error) {
    if (error instanceof SyntaxError || systemCode(error) !== undefined) return undefined;
    throw error;
  }
}
