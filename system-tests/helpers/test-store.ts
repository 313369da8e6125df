import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { Provisioner, type ProvisionerOptions } from '#src/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
// What is registered first cleans last: a file system of a test goes when the stores on it are closed.
import './file-systems.js';

const directories: string[] = [];
const opened: Provisioner[] = [];

/** A temporary directory, on a tmpfs where there is one. Removed after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'provisioner-test-'));
  directories.push(directory);
  return directory;
}

/** A provisioner on a store of its own, closed after the test. */
export async function openStore(options: ProvisionerOptions = {}): Promise<Provisioner> {
  const provisioner = await Provisioner.open({ root: join(temporaryDirectory(), 'store'), ...options });
  opened.push(provisioner);
  return provisioner;
}

/** Writes images as OCI layouts and pulls them, each under its name. */
export async function pullImages(
  provisioner: Provisioner,
  images: Readonly<Record<string, Parameters<typeof writeOciLayout>[1][number]['image']>>,
): Promise<void> {
  for (const [name, image] of Object.entries(images)) {
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image, refName: name }]);
    await provisioner.images.pull(`oci:${layout}`, { name });
  }
}

/** Fails unless no container has left a mount, a directory or a record, and nothing is being pulled or swept. */
export async function expectNoContainers(provisioner: Provisioner): Promise<void> {
  expect(mountsBelow(provisioner.root)).toEqual([]);
  expect(readdirSync(join(provisioner.root, 'containers'))).toEqual([]);
  expect(readdirSync(join(provisioner.root, 'staging'))).toEqual([]);
  expect(await provisioner.containers.list()).toEqual([]);
}

afterEach(async () => {
  for (const provisioner of opened.splice(0)) {
    try {
      for (const { id } of await provisioner.containers.list()) await provisioner.destroy(id, { anyOwner: true });
    } catch {
      // A test that closed it has nothing more to clean here.
    }
    await provisioner.close();
  }
  // All of them go before the test fails for one: the machine is left without any.
  const left: string[] = [];
  for (const directory of directories.splice(0)) {
    for (const mount of mountsBelow(directory)) {
      left.push(mount);
      loadSyscalls().detachMount(mount);
    }
    rmSync(directory, { recursive: true, force: true });
  }
  expect(left).toEqual([]);
});
