import { realpathSync } from 'node:fs';
import { Provisioner, type ProvisionerOptions } from '#src/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { openStore } from './test-store.js';

/** Takes away every mount of a store, as a reboot does. */
export function unmountAll(root: string): void {
  for (const mount of mountsBelow(realpathSync(root))) loadSyscalls().detachMount(mount);
}

/** Closes the store, takes its mounts away, and opens it again. */
export async function reboot(provisioner: Provisioner, options: ProvisionerOptions = {}): Promise<Provisioner> {
  await provisioner.close();
  unmountAll(provisioner.root);
  return openStore({ root: provisioner.root, ...options });
}

/** Opens the store for one piece of work. */
export async function withStore<T>(
  options: ProvisionerOptions,
  work: (provisioner: Provisioner) => Promise<T>,
): Promise<T> {
  await using provisioner = await Provisioner.open(options);
  return await work(provisioner);
}
