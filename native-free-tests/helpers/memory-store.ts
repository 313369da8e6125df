import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { Provisioner, type ProvisionerOptions } from '#src/index.js';
import { writeOciLayout } from './image-builder.js';

const directories: string[] = [];
const opened: Provisioner[] = [];

/** In memory where that is to be had: what these tests write need not reach a disk. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'provisioner-test-'));
  directories.push(directory);
  return directory;
}

/** A provisioner that needs no native module: its records are in memory and it copies. */
export async function openMemoryStore(options: ProvisionerOptions = {}): Promise<Provisioner> {
  const root = join(temporaryDirectory(), 'store');
  const provisioner = await Provisioner.open({
    root,
    records: 'memory',
    backend: 'copy',
    allowDegraded: true,
    ...options,
  });
  opened.push(provisioner);
  return provisioner;
}

type Built = Parameters<typeof writeOciLayout>[1][number]['image'];

/** Writes an image as an OCI layout. @returns its source */
export async function layoutOf(image: Built): Promise<string> {
  const layout = join(temporaryDirectory(), 'layout');
  await writeOciLayout(layout, [{ image, refName: 'it' }]);
  return `oci:${layout}`;
}

/** Names in one of the store's own directories. */
export function namesIn(provisioner: Provisioner, directory: 'layers' | 'staging' | 'gc' | 'containers'): string[] {
  return readdirSync(join(provisioner.root, directory));
}

afterEach(async () => {
  for (const provisioner of opened.splice(0)) await provisioner.close();
  // An image may have directories that an ordinary user cannot enter, names that are no text, and paths that are too long for Node's own.
  for (const directory of directories.splice(0)) removeTree(directory);
});
