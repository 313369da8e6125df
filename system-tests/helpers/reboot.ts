import { realpathSync } from 'node:fs';
import { Provisioner, type ProvisionerOptions } from '#src/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { mountsGone } from './mounts-elsewhere.js';
import { openStore } from './test-store.js';

/** Takes away every mount of a store, as a reboot does: none is left in another namespace either. */
export async function unmountAll(root: string): Promise<void> {
  const place = realpathSync(root);
  for (const mount of mountsBelow(place)) loadSyscalls().detachMount(mount);
  await mountsGone(`${place}/`);
}

/** Closes the store, takes its mounts away, and opens it again. */
export async function reboot(provisioner: Provisioner, options: ProvisionerOptions = {}): Promise<Provisioner> {
  await provisioner.close();
  await unmountAll(provisioner.root);
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
