import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, vi } from 'vitest';
import { ContainerCgroup } from '#src/containerizer/cgroups/container-cgroup.js';
import { hierarchiesOfThisProcess, parentOf } from '#src/containerizer/cgroups/hierarchies.js';
import { listLaunches, removeParent } from '#src/containerizer/cgroups/launches.js';
import { type Containerizer, openContainerizer, type RuntimeName } from '#src/containerizer/index.js';
import { Provisioner, type ProvisionerOptions } from '#src/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { busyboxImage } from '../../fixtures/busybox-image.mjs';
import { SURROUNDINGS } from './cgroups.js';
import { otherProcess } from './other-process.js';
import { openStore, pullImages } from './test-store.js';

const RUN = '/run/provisioner';
/** What stands in the list of a process's cgroups for those of a store. */
const cgroupName = (root: string) => `provisioner-${keyOf(root)}`;

/** Roots of stores of the test that is running. */
const roots = new Set<string>();

export interface ContainerStore {
  readonly provisioner: Provisioner;
  readonly containers: Containerizer;
  readonly root: string;
}

/** Busybox with all it can do in `/bin`, root and alice; by itself it runs a shell that ends at once. */
export const IMAGE = 'busybox:1';

let image: ReturnType<typeof busyboxImage> | undefined;

/** A store with the image `IMAGE`, and what runs containers on it. Whatever the test leaves running is ended. */
export async function storeWithBusybox({
  runtime,
  ...options
}: ProvisionerOptions & { readonly runtime?: RuntimeName } = {}): Promise<ContainerStore> {
  const provisioner = await openStore(options);
  roots.add(provisioner.root);
  image ??= busyboxImage();
  await pullImages(provisioner, { [IMAGE]: image });
  return { provisioner, root: provisioner.root, containers: await openContainerizer({ provisioner, runtime }) };
}

/** The same store once more, as another process has it, or another owner. */
export async function again(
  root: string,
  { runtime, ...options }: ProvisionerOptions & { readonly runtime?: RuntimeName } = {},
): Promise<ContainerStore> {
  roots.add(root);
  const provisioner = await openStore({ root, ...options });
  return { provisioner, root, containers: await openContainerizer({ provisioner, runtime }) };
}

/** A script, as options of a launch. */
export const sh = (script: string) => ({ command: ['sh', '-c', script] });

/** The part of the names of a store's cgroups and notes that is its own. */
export function keyOf(root: string): string {
  return createHash('sha256').update(root).digest('hex').slice(0, 12);
}

/** Where a launch keeps what is told of it. */
export function launchPath(root: string, launchId: string): string {
  return join(root, 'launches', launchId);
}

/** Processes of the containers of a store, and their monitors, as this machine sees them. */
export function processesOf(root: string): { readonly inContainers: number[]; readonly monitors: number[] } {
  const inContainers: number[] = [];
  const monitors: number[] = [];
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      if (readFileSync(`/proc/${name}/cgroup`, 'utf8').includes(`/${cgroupName(root)}/`))
        inContainers.push(Number(name));
      else if (isMonitor(`/proc/${name}`, root)) monitors.push(Number(name));
    } catch {
      // It has ended meanwhile.
    }
  }
  return { inContainers, monitors };
}

/** Kills the monitors of a store. Resolves when they are gone: whoever is killed while the machine is busy may hold what he had for a while. */
export async function killMonitors(root: string): Promise<void> {
  const { monitors } = processesOf(root);
  expect(monitors).not.toEqual([]);
  for (const pid of monitors) process.kill(pid, 'SIGKILL');
  await vi.waitFor(() => expect(monitors.filter((pid) => !hasEnded(pid))).toEqual([]), {
    timeout: 10_000,
    interval: 2,
  });
}

function hasEnded(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return true;
  }
}

/** Or what a monitor has become to remove a container, which would make a store anew that has gone meanwhile. */
function isMonitor(process: string, root: string): boolean {
  return (
    readlinkSync(`${process}/cwd`).startsWith(join(root, 'launches/')) ||
    readFileSync(`${process}/cmdline`, 'utf8').includes(`\0--root\0${root}\0--quiet\0`)
  );
}

/** Everything of containers that there still is of a store: processes, mounts, cgroups, notes of runtimes, records, directories. */
export async function leftOf(root: string): Promise<string[]> {
  const hierarchies = hierarchiesOfThisProcess();
  const { inContainers, monitors } = processesOf(root);
  const namesIn = (path: string) => (existsSync(path) ? readdirSync(path) : []);
  const records = await recordsOf(root);
  return [
    ...inContainers.map((pid) => `process ${pid}`),
    ...monitors.map((pid) => `monitor ${pid}`),
    ...mountsBelow(root).map((path) => `mount ${path}`),
    ...listLaunches(hierarchies, parentOf(hierarchies, keyOf(root))).map((id) => `cgroup ${id}`),
    ...['crun', 'runc'].flatMap((name) => namesIn(join(RUN, keyOf(root), name))).map((id) => `notes ${id}`),
    ...namesIn(join(RUN, keyOf(root), 'networks')).map((id) => `namespace ${id}`),
    ...namesIn(join(RUN, keyOf(root), 'names', 'open')).map((name) => `names ${name}`),
    ...namesIn(join(RUN, keyOf(root), 'names', 'internal')).map((name) => `names ${name}`),
    ...records,
    ...['containers', 'launches', 'staging', 'gc'].flatMap((name) =>
      namesIn(join(root, name)).map((entry) => `${name}/${entry}`),
    ),
  ];
}

async function recordsOf(root: string): Promise<string[]> {
  await using provisioner = await Provisioner.open({ root, owner: 'who looks' });
  return [
    ...(await provisioner.launches.list()).map(({ containerId, state }) => `launch of ${containerId}, ${state}`),
    ...(await provisioner.containers.list()).map(({ id }) => `container ${id}`),
    ...(await provisioner.holdings.list())
      // Those stay until somebody removes them.
      .filter(({ kind }) => kind !== 'network' && kind !== 'network-subnet')
      .map(({ kind, name }) => `${kind} ${name} held`),
  ];
}

/** Fails unless a store's containers are gone, soon, without a trace. */
export async function expectNothingLeft(root: string): Promise<void> {
  await vi.waitFor(async () => expect(await leftOf(root)).toEqual([]), { timeout: 8000, interval: 50 });
}

/** Before the stores go: a hook of theirs was registered before this one. */
afterEach(async () => {
  for (const root of roots) {
    await destroyAll(root);
    await takeAllAway(root);
  }
  roots.clear();
});

/** What runs, its cgroups and the notes of runtimes, as a reboot does. */
export async function takeAllAway(root: string): Promise<void> {
  const hierarchies = hierarchiesOfThisProcess();
  const parent = parentOf(hierarchies, keyOf(root));
  // Their monitors first, or they would do what is to be done at an end.
  for (const pid of processesOf(root).monitors) killQuietly(pid);
  for (const id of listLaunches(hierarchies, parent)) {
    const cgroup = new ContainerCgroup(hierarchies, `${parent}/${id}`, SURROUNDINGS);
    cgroup.killAll('SIGKILL');
    await cgroup.remove();
  }
  removeParent(hierarchies, parent);
  for (const pid of nameServersOf(root)) killQuietly(pid);
  for (const path of mountsBelow(join(RUN, keyOf(root)))) loadSyscalls().detachMount(path);
  rmSync(join(RUN, keyOf(root)), { recursive: true, force: true });
}

/** As far as the records know of them. */
async function destroyAll(root: string): Promise<void> {
  try {
    await using provisioner = await Provisioner.open({ root, owner: 'who cleans' });
    const containers = await openContainerizer({ provisioner });
    for (const { containerId } of await containers.list())
      await containers.destroy(containerId, { running: 'kill', anyOwner: true });
    // Namespaces of what has died.
    if ((await provisioner.holdings.list({ kind: 'network-namespace' })).length > 0) await containers.recover();
  } catch {
    // What follows does without the records.
  }
}

function nameServersOf(root: string): number[] {
  const place = join(RUN, keyOf(root), 'names');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(place);
      } catch {
        return false;
      }
    })
    .map(Number);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

const CONTAINERIZER = new URL('../../dist/containerizer.js', import.meta.url).href;

/** Another process that has a store's containers as `c`. @see otherProcess */
export function otherContainerizer(root: string, body: string, options: Parameters<typeof otherProcess>[2] = {}) {
  roots.add(root);
  const opening = `
    const { openContainerizer } = await import('${CONTAINERIZER}');
    const c = await openContainerizer({ provisioner: p });`;
  return otherProcess(root, `${opening}\n${body}`, options);
}
