import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '../base/assembly.js';
import { ProvisionerError } from '../base/errors.js';
import { checkOptions, methods, type OptionTable, oneOf } from '../base/options/check-options.js';
import type { Provisioner } from '../index.js';
import { mountNamespaceHere } from '../system/locks/mount-place.js';
import { loadProcesses, nativeProcessesMissingReason } from '../system/processes/load-processes.js';
import type { Processes } from '../system/processes/processes.js';
import { fromBytePath } from '../system/syscalls/byte-path.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../system/syscalls/load-tree-calls.js';
import { readKernelFacts } from './bundle/kernel-facts.js';
import { type Hierarchies, hierarchiesOfThisProcess, parentOf } from './cgroups/hierarchies.js';
import { ownProcsFile } from './cgroups/own-procs-file.js';
import type { Containerizer } from './containerizer.js';
import { Isolators } from './isolators/isolators.js';
import { isLaunchOver } from './leases/launch-over.js';
import { leasableCpus } from './leases/leasable-cpus.js';
import { LeaseIsolator } from './leases/lease-isolator.js';
import { LeaseTable } from './leases/lease-table.js';
import type { Machine } from './machine.js';
import { isNetworkName } from './networks/network-mode.js';
import { networksOf } from './networks/networks-of-machine.js';
import type { ReadyNetworks } from './networks/ready-networks.js';
import { OciContainerizer } from './oci-containerizer.js';
import { findRuntime } from './runtime/find-runtime.js';
import { type OciRuntime, RUNTIME_NAMES, type RuntimeName } from './runtime/oci-runtime.js';
import { makePrograms, type Programs } from './runtime/programs.js';
import { SpaceIsolator } from './space/space-isolator.js';
import { VolumeIsolator } from './volumes/volume-isolator.js';

export interface ContainerizerOptions {
  readonly provisioner: Provisioner;
  /** What runs what is launched here. Default: the first that is there of crun and runc. */
  readonly runtime?: RuntimeName | undefined;
  /**
   * Namespaces that are connected to a network and wait for launches, by the network's name: as many of each are kept ready while this containerizer is open, so that a launch takes a millisecond for its network instead of a tenth of a
   * second. Those that publish ports or want an address of their own do not take them. Default: none; said again, it counts from then on.
   */
  readonly readyNetworks?: Readonly<Record<string, number>> | undefined;
}

const OPTIONS: OptionTable<ContainerizerOptions> = {
  provisioner: methods('use', 'provision'),
  runtime: oneOf(...RUNTIME_NAMES),
  readyNetworks: {
    meant: 'an object with names of networks, whose values are whole numbers from 0 to 100',
    holds: (value) =>
      typeof value === 'object' &&
      value !== null &&
      Object.entries(value).every(
        ([name, count]) => isNetworkName(name) && Number.isInteger(count) && count >= 0 && count <= 100,
      ),
  },
};

/** Where programs of ours and runtimes keep what is of this boot only. */
const RUN = '/run/provisioner';

/** A containerizer, and what it keeps ready. */
interface Opened {
  readonly containerizer: OciContainerizer;
  readonly ready: ReadyNetworks;
}

const services = new Map<RuntimeName | undefined, Service<Provisioner, Opened>>();

/**
 * What runs containers on a store: one for each provisioner and runtime; the provisioner closes it before itself. Programs that run go on when it is closed, and what is being started by then is waited for. That a runtime is there is seen when one is needed: what
 * runs can be looked at, waited for, stopped and destroyed without (`ERR_RUNTIME_MISSING` of `launch` and `exec`).
 * @throws ProvisionerError `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_CLOSED`, `ERR_BAD_OPTION`
 */
export async function openContainerizer(options: ContainerizerOptions): Promise<Containerizer> {
  checkOptions('openContainerizer', OPTIONS, options);
  const { provisioner, runtime, readyNetworks } = options;
  let service = services.get(runtime);
  if (service === undefined) {
    service = { open: (p) => open(p, runtime), close: ({ containerizer }) => containerizer.close() };
    services.set(runtime, service);
  }
  const { containerizer, ready } = await provisioner.use(service);
  if (readyNetworks !== undefined) ready.keep(readyNetworks);
  return containerizer;
}

function open(provisioner: Provisioner, wanted: RuntimeName | undefined): Opened {
  requireRoot();
  const processes = loadProcesses();
  const syscalls = loadSyscalls();
  if (processes.kind !== 'native' || syscalls.kind !== 'native') {
    const reason = nativeProcessesMissingReason() ?? 'the native system calls are missing';
    throw new ProvisionerError(
      'ERR_NATIVE_MISSING',
      `containers cannot be run without native system calls: ${reason}`,
      {
        hint: 'install the package with its native modules, on Linux with glibc 2.34 or newer',
      },
    );
  }
  const hierarchies = hierarchiesOfThisProcess();
  const key = storeKey(realpathSync(provisioner.root));
  const stateRootOf = (name: RuntimeName) => join(RUN, key, name);
  const runtimeNamed = (name: RuntimeName | undefined): OciRuntime => {
    const found = findRuntime(name);
    return { ...found, stateRoot: stateRootOf(found.name), hide: hiddenFrom(found.name, hierarchies) };
  };
  let programs: Programs | undefined;
  const closing = new AbortController();
  // Each container that runs listens.
  setMaxListeners(0, closing.signal);
  const machine: Machine = {
    provisioner,
    processes,
    syscalls,
    programs: () => {
      programs ??= makePrograms(join(RUN, key), runtimeNamed(wanted), processes, ownProcsFile(hierarchies));
      return programs;
    },
    runtimeOf: ({ runtime: name, stateRoot }) => ({ ...runtimeNamed(name), stateRoot }),
    stateRoots: RUNTIME_NAMES.map(stateRootOf),
    hierarchies,
    surroundings: {
      sendSignal: (pid, signal, isStill) => sendSignal(processes, pid, signal, isStill),
      pause: (milliseconds) => sleep(milliseconds),
    },
    facts: readKernelFacts(),
    parent: fromBytePath(parentOf(hierarchies, key)),
    // Where a machine shows none, its monitors tell whether they live all the same.
    bootId: mountNamespaceHere().boot || 'unknown',
    closing: closing.signal,
    removal: [process.execPath, '--', commandLine(), '--root', provisioner.root, '--quiet', 'wait'],
  };
  const { isolator, networks, ready, resolversChanged } = networksOf(machine, { run: RUN, key }, () =>
    containerizer.list(),
  );
  // Who has what is wanted may have ended without anybody's having seen it.
  const leases = new LeaseTable(provisioner.holdings, machine.bootId, (holding) =>
    isLaunchOver(machine, (containerId) => containerizer.get(containerId), holding),
  );
  const isolators = new Isolators([
    new LeaseIsolator(leases, leasableCpus(hierarchies)),
    new VolumeIsolator(provisioner, () => loadTreeCalls(syscalls)),
    // After the volumes: a file that belongs to a project is not moved to where another one inherits.
    new SpaceIsolator(provisioner, syscalls, () => loadTreeCalls(syscalls), machine.bootId),
    // What takes longest comes last.
    isolator,
  ]);
  const parts = { isolators, leases, networks, resolversChanged };
  const containerizer: OciContainerizer = new OciContainerizer(machine, parts, provisioner.owner, {
    begin: () => closing.abort(new ProvisionerError('ERR_CLOSED', 'the containerizer has been closed')),
    end: () => programs?.close(),
  });
  return { containerizer, ready };
}

/** Holds the process before it looks whether it is the one that is meant: afterwards no other one can have its number. */
function sendSignal(processes: Processes, pid: number, signal: NodeJS.Signals, isStill: () => boolean): void {
  const handle = processes.open(pid);
  if (handle === undefined) return;
  try {
    if (isStill()) handle.send(constants.signals[signal]);
  } finally {
    handle.close();
  }
}

/** Two stores never share a cgroup, nor a runtime's notes; a store has the same whichever way leads to it. */
function storeKey(root: string): string {
  return createHash('sha256').update(root).digest('hex').slice(0, 12);
}

/** Crun works on machines with v1 or v2, and not with both. @see crun, `libcrun_get_cgroup_mode` */
function hiddenFrom(runtime: RuntimeName, { mode, mounted }: Hierarchies): string[] {
  if (runtime !== 'crun' || mode !== 'hybrid') return [];
  return mounted.filter(({ version }) => version === 2).map(({ directory }) => fromBytePath(directory));
}

/** The program that is installed with this library, which is found by the package's name. */
function commandLine(): string {
  return join(dirname(createRequire(import.meta.url).resolve('provisioner/package.json')), 'dist', 'cli', 'main.js');
}

function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new ProvisionerError('ERR_PERMISSION', 'containers can be run by root only, so far', {
    hint: 'run as root',
  });
}
