import { realpathSync } from 'node:fs';
import { ProvisionerError, systemCode } from '../base/errors.js';
import type { BytePath } from '../system/syscalls/byte-path.js';
import { readMountPoints } from '../system/syscalls/mounts/mount-table.js';
import { nativeMissing, whyNativeMissing } from '../system/syscalls/native-missing.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import { WorkerPool } from '../workers/worker-pool.js';

/** So many mounts upon each other are let go of; more are still being made by somebody. */
const MOST_STACKED = 10_000;
/** So often the kernel may refuse to unmount what it says is mounted: other processes may be at it. */
const MOST_REFUSALS = 3;

/** Not ours to unmount, or, where another mount namespace is needed, no right to one or too many of them. @see unshare(2) */
const NOT_PERMITTED = new Set(['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'ENOSPC', 'EUSERS']);

/**
 * Lets go of all that is mounted at a directory that is to be deleted, one mount upon the other, with what is mounted further in, also while it is busy.
 * Nothing that is mounted elsewhere is unmounted. Harmless when nothing is mounted.
 *
 * For a rootfs that is one mount of ours that is one unmount, and two questions of a microsecond.
 * @param directory absolute; nobody else can rename what leads there. It may be gone afterwards
 * @param aside leave waiting for the kernel to another thread, because others are waiting for their turn
 * @throws ProvisionerError `ERR_PERMISSION`; `ERR_NATIVE_MISSING` when something is mounted, and there are no native calls to unmount it with
 */
export async function letGo(syscalls: Syscalls, directory: string, aside: boolean): Promise<void> {
  if (syscalls.kind === 'native-free') {
    await requireNoMount(directory);
    return;
  }
  let vain = 0;
  for (let count = 0; count < MOST_STACKED && vain <= MOST_REFUSALS; count++) {
    const state = syscalls.mountState(directory);
    if (state === 'none') return;
    if (state === 'coversShared') {
      // It is gone after the first time, unless somebody is putting it back.
      vain++;
      await removeCovered(directory, '');
      continue;
    }
    const detached = await unmounted(directory, () =>
      aside || count > 0 ? syscalls.detachMountAside(directory) : syscalls.detachMount(directory),
    );
    // Were something mounted there since, the directory could not be removed, and this be asked again.
    if (detached ? state === 'alone' : state === 'unknown') return;
    if (!detached) vain++;
  }
  if (syscalls.mountState(directory) !== 'none') throw cannotLetGo(directory);
}

async function requireNoMount(directory: string): Promise<void> {
  const mounts = await readMountPoints();
  if (mounts.length === 0) return;
  let real: string;
  try {
    real = realpathSync(directory);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  if (!mounts.includes(real)) return;
  throw nativeMissing(
    `cannot unmount ${directory} without native system calls (${whyNativeMissing()})`,
    'unmount it, then destroy the container again',
  );
}

/** Somebody is still at work there; whether the mounts are gone is for the next look. */
const DISTURBED = new Set(['EBUSY', 'ENOTEMPTY', 'EEXIST', 'ESTALE', 'ENOENT']);

/** Deletes what mounts lie upon each other on, so that the kernel detaches them: see `removeCovered` in `files/tree/`. */
export async function removeCovered(directory: string, path: BytePath): Promise<void> {
  const pool = new WorkerPool(1);
  try {
    await unmounted(directory, () => pool.run('remove-covered', { directory, path }));
  } catch (error) {
    if (!DISTURBED.has(systemCode(error) ?? '')) throw error;
  } finally {
    await pool.close();
  }
}

/** @throws ProvisionerError `ERR_PERMISSION` where mounts are not ours to unmount */
export async function unmounted<T>(directory: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!NOT_PERMITTED.has(systemCode(error) ?? '')) throw error;
    throw cannotLetGo(directory, error);
  }
}

export function cannotLetGo(mount: string, cause?: unknown): ProvisionerError {
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  return new ProvisionerError('ERR_PERMISSION', `cannot let go of what is mounted at ${mount}${reason}`, {
    cause,
    hint: 'end the processes that still work there, unmount it, then destroy the container again',
    details: { mount },
  });
}
