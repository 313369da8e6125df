// @ts-check
/*
 * What there is of the launches of a store, anywhere on this machine, that nothing accounts for. The records are read with SQLite itself, the rest with plain
 * system calls; nothing here asks the library.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { directoryOf, hierarchiesOfThisProcess } from '#src/containerizer/cgroups/hierarchies.js';
import { processStat } from '#src/system/processes/process-stat.js';
import { fromBytePath } from '#src/system/syscalls/byte-path.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { read, workingDirectory } from './victims.mjs';

/** @typedef {typeof import('better-sqlite3')} Driver */
const Driver = /** @type {Driver} */ (createRequire(import.meta.url)('better-sqlite3'));

/** What lies there for the uptime of the machine: programs of ours, filters, and directories of the runtimes. */
const OF_THIS_BOOT = /^(?:(?:monitor|enter)-[0-9a-f]{12}\.pl|filter-[0-9a-f]{32}|(?:crun|runc)(?:\.secrets)?)$/;

/**
 * @typedef {object} Place
 * @property {string} root of the store
 * @property {string} run the directory of this boot
 * @property {string} parent the cgroup of all launches
 * @property {string} cgroup the directory of the one that all agents were begun in
 */

/** @typedef {{ id: string, container: string, state: string }} LaunchRow */

/** @param {string} root */
export function readLaunches(root) {
  const db = new Driver(join(root, 'metadata.sqlite'), { readonly: true });
  try {
    const rows = (/** @type {string} */ sql) => /** @type {any[]} */ (db.prepare(sql).all());
    return {
      launches: /** @type {LaunchRow[]} */ (rows('SELECT id, container, state FROM launch')),
      containers: new Set(rows('SELECT container FROM rootfs').map(({ container }) => String(container))),
      ends: /** @type {import('./launch-ledger.mjs').RecordedEnd[]} */ (
        rows("SELECT sequence, container, launch, details FROM launch_event WHERE kind = 'exit' ORDER BY sequence")
      ),
    };
  } finally {
    db.close();
  }
}

/**
 * @param {Place} place @param {readonly string[]} standing the containers that there may be @param {readonly string[]} kept those of them that there must be
 * @param {readonly number[]} agents their processes, and whatever else may be there
 * @returns {string[]}
 */
export function leftOver(place, standing, kept, agents) {
  const { root, run, parent } = place;
  const { launches, containers } = readLaunches(root);
  const running = new Set(launches.filter(({ state }) => state !== 'exited').map(({ id }) => id));
  const recorded = new Set(launches.map(({ id }) => id));
  const cgroups = cgroupsOf(parent);
  const missing = kept.filter((id) => !containers.has(id) || !launches.some(({ container }) => container === id));
  const stated = launches.filter(({ state }) => !['created', 'running', 'exited'].includes(state));
  const directories = namesIn(join(root, 'launches'));
  return [
    ...missing.map((id) => `container ${id} has no record`),
    ...stated.map(({ container, state }) => `the launch of ${container} is ${state}`),
    ...without(
      launches.map(({ container }) => container),
      standing,
    ).map((id) => `a launch of ${id}`),
    ...without(containers, standing).map((id) => `a root filesystem of ${id}`),
    ...without(namesIn(join(root, 'containers')), standing).map((id) => `a directory of container ${id}`),
    ...without(
      mountsBelow(root).map((path) => relative(join(root, 'containers'), path).split('/')[0] ?? ''),
      standing,
    ).map((id) => `a mount of ${id}`),
    ...without(directories, recorded).map((id) => `a directory of launch ${id}`),
    ...without(recorded, directories).map((id) => `launch ${id} has no directory`),
    ...without(cgroups, running).map((id) => `a cgroup of launch ${id}`),
    ...['crun', 'runc'].flatMap((runtime) =>
      ['', '.secrets'].flatMap((kind) =>
        without(namesIn(join(run, `${runtime}${kind}`)), running).map((id) => `${runtime}${kind} has launch ${id}`),
      ),
    ),
    ...namesIn(run)
      .filter((name) => !OF_THIS_BOOT.test(name))
      .map((name) => `${name} in ${run}`),
    ...['staging', 'gc'].flatMap((name) => namesIn(join(root, name)).map((entry) => `${name}/${entry}`)),
    ...strangers(place, launches, agents),
  ];
}

/** Processes that have come of an agent, and belong to nothing that runs. @param {Place} place @param {readonly LaunchRow[]} launches @param {readonly number[]} agents */
function strangers({ parent, cgroup }, launches, agents) {
  const running = launches.filter(({ state }) => state !== 'exited').map(({ id }) => id);
  const pids = new Set([...processesBelow(cgroup), ...parents(parent).flatMap(processesBelow)]);
  return [...pids]
    .filter((pid) => !agents.includes(pid) && !isStarterOf(pid, agents))
    .filter((pid) => {
      const cgroups = read(`/proc/${pid}/cgroup`);
      const { 1: at = '' } = /\/launches\/([0-9a-f]{32})$/.exec(workingDirectory(pid)) ?? [];
      return cgroups !== '' && !running.some((id) => id === at || cgroups.includes(`${parent}/${id}`));
    })
    .map((pid) => `process ${pid}: ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ') || read(`/proc/${pid}/stat`)}`);
}

/** What starts the monitors of an agent lives as long as that, and no longer. @param {number} pid @param {readonly number[]} agents */
function isStarterOf(pid, agents) {
  return (
    read(`/proc/${pid}/cmdline`).startsWith('provisioner-starter') && agents.includes(processStat(pid)?.parent ?? 0)
  );
}

/** @param {string} parent @returns {string[]} its directory in each hierarchy */
function parents(parent) {
  return hierarchiesOfThisProcess().mounted.map((hierarchy) => fromBytePath(directoryOf(hierarchy, parent)));
}

/** @param {string} parent @returns {string[]} what has a cgroup in it, in whichever hierarchy */
export function cgroupsOf(parent) {
  const names = parents(parent).flatMap((directory) =>
    existsSync(directory)
      ? readdirSync(directory, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => name)
      : [],
  );
  return [...new Set(names)].filter((name) => name !== 'monitors');
}

/** @param {string} directory of a cgroup @returns {number[]} */
export function processesBelow(directory) {
  if (!existsSync(directory)) return [];
  const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [
    ...read(join(directory, 'cgroup.procs')).split('\n').filter(Boolean).map(Number),
    ...below.flatMap(({ name }) => processesBelow(join(directory, name))),
  ];
}

/** @param {string} directory @returns {string[]} */
function namesIn(directory) {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** @param {Iterable<string>} names @param {Iterable<string>} known @returns {string[]} those that are not known, once each */
function without(names, known) {
  const all = new Set(known);
  return [...new Set(names)].filter((name) => !all.has(name));
}
