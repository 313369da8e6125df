import { existsSync, lstatSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ContainerRecord, RootfsRecord } from '../metadata/metadata-manager.js';
import { backendParts, containerParts } from '../paths.js';
import { RootfsMounts } from '../store/rootfs-mounts.js';
import { filterUnhurried, unhurried } from '../unhurried.js';
import type { CheckParts } from './check-parts.js';
import { type Finding, finding } from './findings.js';
import { listDirectory } from './parked-layers.js';

/** What stands below `containers/`: the directories of rootfses, and whatever else. */
interface ContainerFiles {
  readonly rootfses: string[];
  readonly foreign: string[];
}

/** Compares the records of containers with their directories and mounts. */
export async function checkContainers(parts: CheckParts): Promise<{ findings: Finding[]; containers: number }> {
  const { paths, metadata } = parts;
  // Directories first: a rootfs is recorded before it has one, and forgotten after.
  const files: ContainerFiles = { rootfses: [], foreign: [] };
  await collect(paths.containers, files);
  const containers = await metadata.listContainers();
  const mounts = await RootfsMounts.read(paths);
  const expected = new Set<string>();
  const findings: Finding[] = [];
  for await (const container of unhurried(containers)) {
    for (const rootfs of container.rootfses) {
      const path = paths.rootfs(container.id, rootfs.backend, rootfs.id);
      expected.add(path).add(paths.scratch(container.id, rootfs.backend, rootfs.id));
      const found = await rootfsFinding(container, rootfs, path, mounts, parts);
      if (found !== undefined) findings.push(found);
    }
  }
  for (const path of await filterUnhurried(files.rootfses, (candidate) => !expected.has(candidate))) {
    const message = `${path} belongs to no recorded root filesystem`;
    findings.push(finding({ severity: 'leak', code: 'ROOTFS_UNRECORDED', subject: path, message }));
  }
  for (const path of files.foreign) {
    findings.push(
      finding({ severity: 'leak', code: 'FOREIGN_FILE', subject: path, message: `${path} is not the store's` }),
    );
  }
  return { findings, containers: containers.length };
}

async function rootfsFinding(
  container: ContainerRecord,
  rootfs: RootfsRecord,
  path: string,
  mounts: RootfsMounts,
  { metadata }: CheckParts,
): Promise<Finding | undefined> {
  const what = `the root filesystem ${rootfs.id} of container ${container.id}`;
  const note = (code: 'ROOTFS_UNFINISHED' | 'ROOTFS_NOT_MOUNTED', message: string): Finding =>
    finding({ severity: 'note', code, subject: container.id, message });
  if (rootfs.state !== 'ready') return note('ROOTFS_UNFINISHED', `${what} is ${rootfs.state}, now or since a crash`);
  if (!existsSync(path)) {
    const now = (await metadata.getContainer(container.id))?.rootfses.find(({ id }) => id === rootfs.id);
    if (now?.state !== 'ready') return undefined;
    const message = `${what} is recorded as ready, but ${path} is not there`;
    return finding({ severity: 'damage', code: 'ROOTFS_MISSING', subject: container.id, message });
  }
  if (rootfs.backend === 'copy') return undefined;
  const state = mounts.stateOf(path, rootfs);
  if (state === 'mounted') return undefined;
  const where =
    state === 'unmounted'
      ? 'is not mounted any more'
      : 'is or may be mounted elsewhere: in another mount namespace, or by another path';
  return note('ROOTFS_NOT_MOUNTED', `${what} ${where}`);
}

async function collect(containers: string, files: ContainerFiles): Promise<void> {
  for await (const id of unhurried(listDirectory(containers))) {
    const directory = join(containers, id);
    if (!isDirectory(directory)) {
      files.foreign.push(directory);
      continue;
    }
    const { nested, backends } = containerParts(directory);
    onlyThese(directory, [nested, backends], files);
    await collect(nested, files);
    for (const backend of listDirectory(backends)) {
      const { rootfses, scratches } = backendParts(join(backends, backend));
      onlyThese(join(backends, backend), [rootfses, scratches], files);
      for (const place of [rootfses, scratches]) {
        files.rootfses.push(...listDirectory(place).map((name) => join(place, name)));
      }
    }
  }
}

function onlyThese(directory: string, wanted: readonly string[], { foreign }: ContainerFiles): void {
  const names = new Set(wanted.map((path) => basename(path)));
  foreign.push(
    ...listDirectory(directory)
      .filter((name) => !names.has(name))
      .map((name) => join(directory, name)),
  );
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
}
