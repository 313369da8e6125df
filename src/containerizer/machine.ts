import type { Provisioner } from '../index.js';
import type { Processes } from '../system/processes/processes.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import type { KernelFacts } from './bundle/kernel-facts.js';
import type { CgroupSurroundings } from './cgroups/container-cgroup.js';
import type { Hierarchies } from './cgroups/hierarchies.js';
import type { LaunchPlaceNote } from './launches/kept/launch-notes.js';
import type { OciRuntime } from './runtime/oci-runtime.js';
import type { Programs } from './runtime/programs.js';

/** What all parts of a containerizer work with. */
export interface Machine {
  readonly provisioner: Provisioner;
  readonly processes: Processes;
  readonly syscalls: Syscalls;
  /** Found when something is first started. @throws ProvisionerError `ERR_RUNTIME_MISSING` */
  readonly programs: () => Programs;
  /** Of what was launched, perhaps by another process that had chosen another one. @throws ProvisionerError `ERR_RUNTIME_MISSING` */
  readonly runtimeOf: (place: LaunchPlaceNote) => OciRuntime;
  /** Where each runtime there is keeps its notes of this store's containers. */
  readonly stateRoots: readonly string[];
  readonly hierarchies: Hierarchies;
  readonly surroundings: CgroupSurroundings;
  readonly facts: KernelFacts;
  /** The cgroup that all cgroups of this store's containers are in. */
  readonly parent: string;
  /** Of this boot, as the kernel names it. */
  readonly bootId: string;
  /** Aborts when the containerizer is closed. */
  readonly closing: AbortSignal;
  /** What sees the end of a container that is to be removed, and removes it, while nothing else of ours lives: a command and its arguments, the container's id to follow. */
  readonly removal: readonly string[];
}

/** What is done when a containerizer is closed. */
export interface Closing {
  /** Has the machine's `closing` abort. */
  begin(): void;
  /** Lets go of what was opened, when nobody works with it any more. */
  end(): void;
}
