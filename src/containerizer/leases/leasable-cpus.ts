import { readFileSync } from 'node:fs';
import type { Hierarchies } from '../cgroups/hierarchies.js';
import { checkLimits } from '../cgroups/limits/check-limits.js';
import { parseCpuList, printCpuList } from '../cgroups/limits/cpu-list.js';
import { readMachineFacts } from '../cgroups/limits/machine-facts.js';
import type { LeasableCpus } from './lease-isolator.js';

/** Those of this machine, as they are at each look. A number of them is taken of those that this process may run on itself, as `taskset` or a service's `CPUAffinity=` has it; a list may name others. */
export function leasableCpus(hierarchies: Hierarchies): LeasableCpus {
  const require = (cpuset: string) =>
    checkLimits({ cpuset }, hierarchies, readMachineFacts(hierarchies), { update: true });
  return {
    require,
    counted: () => {
      const { usableCpus } = readMachineFacts(hierarchies);
      require(printCpuList(usableCpus));
      const own = allowedIn(readFileSync('/proc/self/status', 'utf8'));
      return own === undefined ? usableCpus : usableCpus.filter((processor) => own.includes(processor));
    },
  };
}

/** @see proc(5), /proc/pid/status */
function allowedIn(status: string): readonly number[] | undefined {
  return parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '');
}
