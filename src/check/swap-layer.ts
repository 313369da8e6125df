import { existsSync, renameSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { mayShowLayers } from '../backends/backend.js';
import { crashPoint } from '../base/crash-points.js';
import { ProvisionerError, systemCode } from '../base/errors.js';
import { digestHex, type LayerId } from '../image/digest.js';
import { UnrecordedLayers, type UnrecordedLayersNeeds } from '../layer-store/unrecorded-layers.js';
import type { ContainerRecord } from '../metadata/metadata-manager.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import type { ParkedLayers } from './parked-layers.js';
import { syncDirectories } from './sync-directories.js';

export interface SwapNeeds extends UnrecordedLayersNeeds {
  readonly parked: ParkedLayers;
  readonly syscalls: () => Syscalls;
}

/**
 * Puts a fresh copy of a layer in the place of the one that there is, if any. Call it with the store's lock held alone: then nobody records a new user of the layer
 * meanwhile. A root filesystem that is being mounted just now gets the old one or the new one and never none, where the system can exchange two paths.
 *
 *   staging/…  ──►  gc/<hex>.…             without users:  the two change places, what was the layer is swept
 *              ──►  parked/<hex>.…/layer   with users:     the two change places there, what was the layer stays
 *
 * A crash in between leaves one of the two copies in a place that is cleaned: in staging, in `gc/`, or parked until the users are gone.
 * @param staged the copy's directory, synced
 * @returns the containers that keep the old one
 * @throws ProvisionerError `ERR_CONTAINER_UNTRUSTED` when somebody may use it whom no record names
 */
export async function swapLayer(id: LayerId, staged: string, needs: SwapNeeds): Promise<string[]> {
  const { paths, metadata, sweeper, parked } = needs;
  const target = paths.layer(id);
  const now = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
  const users = existsSync(target) ? usersOf(id, await metadata.listContainers()) : [];
  if (users.length === 0) {
    const reason = existsSync(target) ? await new UnrecordedLayers(needs).whyItStays(id) : undefined;
    if (reason !== undefined) throw usedUnrecorded(id, reason);
    exchange(staged, target, needs.syscalls());
    crashPoint('repair.exchanged');
    syncDirectories(paths.layers);
    try {
      sweeper.retire(staged, digestHex(id));
    } catch (error) {
      // The fresh copy is in place. The old one goes with the rest of what the repair has staged, or is told then.
      if (systemCode(error) === undefined) throw error;
    }
    crashPoint('repair.retired');
    return [];
  }
  const aside = parked.park(staged, { layer: id, rootfses: users.map(({ rootfs }) => rootfs) }, now);
  exchange(aside, target, needs.syscalls());
  crashPoint('repair.exchanged');
  syncDirectories(paths.layers, dirname(aside));
  return [...new Set(users.map(({ container }) => container))];
}

/** Root filesystems that show a layer, or read it just now. A copy that is complete does neither. */
function usersOf(id: LayerId, containers: readonly ContainerRecord[]): { rootfs: string; container: string }[] {
  return containers.flatMap((container) =>
    container.rootfses
      .filter(
        ({ layers, backend, state }) => layers.includes(id) && (mayShowLayers(backend) || state === 'provisioning'),
      )
      .map((rootfs) => ({ rootfs: rootfs.id, container: container.id })),
  );
}

function usedUnrecorded(id: LayerId, reason: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_UNTRUSTED', `layer ${id} cannot be replaced now: ${reason}`, {
    hint: 'run `provisioner recover`, and destroy or unmount what shows it',
    details: { layer: id, reason },
  });
}

/** Afterwards the copy is the layer, and what was the layer, if any, is where the copy was. */
function exchange(copy: string, layer: string, syscalls: Syscalls): void {
  try {
    syscalls.exchange(copy, layer);
    return;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') {
      renameSync(copy, layer);
      return;
    }
    // Plain Node, and file systems that cannot: two renames, between which there is no such layer for an instant.
    if (code !== 'ENOTSUP' && code !== 'EINVAL' && code !== 'ENOSYS') throw error;
  }
  const old = `${copy}.${basename(layer)}`;
  if (existsSync(layer)) renameSync(layer, old);
  try {
    renameSync(copy, layer);
  } catch (error) {
    // Better the one that there was than none.
    if (existsSync(old)) renameSync(old, layer);
    throw error;
  }
  if (existsSync(old)) renameSync(old, copy);
}
