import { existsSync, lstatSync } from 'node:fs';
import { basename, join } from 'node:path';
import { mayShowLayers } from '../backends/backend.js';
import { filterUnhurried, unhurried } from '../base/unhurried.js';
import { RootfsMounts } from '../layer-store/rootfs-mounts.js';
import type { ContainerRecord, RootfsRecord } from '../metadata/metadata-manager.js';
import { backendParts, containerParts } from '../paths.js';
import type { CheckNeeds } from './check-needs.js';
import { type Finding, finding } from './findings.js';
import { listOrTell } from './list-directory.js';
import { confirmed, type HeldRecords, type Suspect } from './suspects.js';

/** What stands below `containers/`: the directories of rootfses, and whatever else. */
interface ContainerFiles {
  readonly rootfses: RootfsFile[];
  readonly foreign: string[];
  /** What could not be looked at. */
  readonly findings: Finding[];
}

/** A rootfs's directory, or the one beside it with the changes to it. */
interface RootfsFile {
  readonly path: string;
  readonly containerId: string;
  readonly id: string;
}

/** Compares the records of containers with their directories and mounts. */
export async function checkContainers(
  needs: CheckNeeds,
  signal: AbortSignal | undefined,
): Promise<{ findings: Finding[]; containers: number }> {
  const { paths, metadata } = needs;
  const findings: Finding[] = [];
  const files: ContainerFiles = { rootfses: [], foreign: [], findings };
  await collect(paths.containers, '', files);
  const containers = await metadata.listContainers();
  const mounts = new RootfsMounts(paths);
  const expected = new Set<string>();
  const suspects: Suspect[] = [];
  for await (const container of unhurried(containers)) {
    for (const rootfs of container.rootfses) {
      const path = paths.rootfs(container.id, rootfs.backend, rootfs.id);
      expected.add(path).add(paths.scratch(container.id, rootfs.backend, rootfs.id));
      if (rootfs.state === 'ready' && !existsSync(path)) {
        suspects.push((records) => missing(container.id, rootfs.id, path, records));
        continue;
      }
      const found = await rootfsNote(container, rootfs, path, mounts);
      if (found !== undefined) findings.push(found);
    }
  }
  for (const file of await filterUnhurried(files.rootfses, ({ path }) => !expected.has(path))) {
    suspects.push((records) => unrecorded(file, records));
  }
  findings.push(...(await confirmed(suspects, needs, signal)));
  for (const path of files.foreign) {
    findings.push(
      finding({ severity: 'leak', code: 'FOREIGN_FILE', subject: path, message: `${path} is not the store's` }),
    );
  }
  return { findings, containers: containers.length };
}

/** A destroy takes a rootfs off the disk, and then forgets it, with the lock shared. */
async function missing(
  containerId: string,
  id: string,
  path: string,
  records: HeldRecords,
): Promise<Finding | undefined> {
  const recorded = (await records.container(containerId))?.rootfses.find((rootfs) => rootfs.id === id);
  if (recorded?.state !== 'ready' || existsSync(path)) return undefined;
  const message = `the root filesystem ${id} of container ${containerId} is recorded as ready, but ${path} is not there`;
  return finding({ severity: 'damage', code: 'ROOTFS_MISSING', subject: containerId, message });
}

/** A mount has directories before it has a record, both with the lock shared; a copy is recorded before it has any. */
async function unrecorded({ path, containerId, id }: RootfsFile, records: HeldRecords): Promise<Finding | undefined> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  const recorded = (await records.container(containerId))?.rootfses.some((rootfs) => rootfs.id === id);
  if (recorded === true) return undefined;
  const message = `${path} belongs to no recorded root filesystem`;
  return finding({ severity: 'leak', code: 'ROOTFS_UNRECORDED', subject: path, message });
}

async function rootfsNote(
  container: ContainerRecord,
  rootfs: RootfsRecord,
  path: string,
  mounts: RootfsMounts,
): Promise<Finding | undefined> {
  const what = `the root filesystem ${rootfs.id} of container ${container.id}`;
  const note = (code: 'ROOTFS_UNFINISHED' | 'ROOTFS_NOT_MOUNTED', message: string): Finding =>
    finding({ severity: 'note', code, subject: container.id, message });
  if (rootfs.state !== 'ready') return note('ROOTFS_UNFINISHED', `${what} is ${rootfs.state}, now or since a crash`);
  if (!mayShowLayers(rootfs.backend)) return undefined;
  const state = await mounts.stateOf(path, rootfs);
  if (state === 'mounted') return undefined;
  const where =
    state === 'unmounted'
      ? 'is not mounted any more'
      : 'is or may be mounted elsewhere: in another mount namespace, or by another path';
  return note('ROOTFS_NOT_MOUNTED', `${what} ${where}`);
}

/** @param above the id of the container that those are nested in, and a slash */
async function collect(containers: string, above: string, files: ContainerFiles): Promise<void> {
  for await (const name of unhurried(listOrTell(containers, files.findings))) {
    const directory = join(containers, name);
    const containerId = `${above}${name}`;
    if (!isDirectory(directory)) {
      files.foreign.push(directory);
      continue;
    }
    const { nested, backends } = containerParts(directory);
    onlyThese(directory, [nested, backends], files);
    await collect(nested, `${containerId}/`, files);
    for (const backend of listOrTell(backends, files.findings)) {
      const { rootfses, scratches } = backendParts(join(backends, backend));
      onlyThese(join(backends, backend), [rootfses, scratches], files);
      for (const place of [rootfses, scratches]) {
        for (const id of listOrTell(place, files.findings))
          files.rootfses.push({ path: join(place, id), containerId, id });
      }
    }
  }
}

function onlyThese(directory: string, wanted: readonly string[], { foreign, findings }: ContainerFiles): void {
  const names = new Set(wanted.map((path) => basename(path)));
  foreign.push(
    ...listOrTell(directory, findings)
      .filter((name) => !names.has(name))
      .map((name) => join(directory, name)),
  );
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
}
