import { type BytePath, toBytePath } from '../../../system/syscalls/byte-path.js';
import { readCgroupFile } from '../cgroup-files.js';
import { directoryOf, type Hierarchies } from '../hierarchies.js';
import { parseCpuList } from './cpu-list.js';

/** What limits are held against. */
export interface MachineFacts {
  /** Numbers of the processors that are switched on, ascending. */
  readonly onlineCpus: readonly number[];
  /** Those of them that containers of ours may use at all: fewer where this process is itself in a container. */
  readonly usableCpus: readonly number[];
  /** Of all swap devices together. */
  readonly swapBytes: number;
  /** Whether the memory controller counts swap too; where it does not, nobody can be kept from it. */
  readonly countsSwap: boolean;
}

/**
 * Reads them from /sys, /proc and the cgroup in which ours lie. Processors come and go, so they are read for each container.
 * @param root stands for `/` @throws ProvisionerError `ERR_CGROUP`
 */
export function readMachineFacts(hierarchies: Hierarchies, root = ''): MachineFacts {
  const read = (path: string) => readCgroupFile(`${toBytePath(root)}${path}`);
  const onlineCpus = parseCpuList(read('/sys/devices/system/cpu/online') ?? '') ?? [0];
  const usable = parseCpuList(readUsableCpus(hierarchies) ?? '');
  const [, swapKilobytes = '0'] = /^SwapTotal:\s+(\d+) kB$/m.exec(read('/proc/meminfo') ?? '') ?? [];
  return {
    onlineCpus,
    usableCpus: usable === undefined ? onlineCpus : onlineCpus.filter((each) => usable.includes(each)),
    swapBytes: Number(swapKilobytes) * 1024,
    countsSwap: countsSwap(hierarchies),
  };
}

function readUsableCpus(hierarchies: Hierarchies): string | undefined {
  const { hierarchy } = hierarchies.controllers.cpuset;
  if (hierarchy === undefined) return undefined;
  const base = directoryOf(hierarchy, hierarchies.base);
  const names = hierarchy.version === 1 ? ['cpuset.effective_cpus', 'cpuset.cpus'] : ['cpuset.cpus.effective'];
  for (const name of names) {
    const text = readCgroupFile(`${base}/${name}`);
    if (text !== undefined && text.trim() !== '') return text;
  }
  return undefined;
}

/**
 * Version 1 has `memory.memsw.*` in each cgroup, or in none. In version 2 the root of the machine has no limits at all; what its children have cannot be seen from
 * there, and a kernel that does not count swap there was told so (`swapaccount=0`), which is rare: it is taken to count.
 */
function countsSwap(hierarchies: Hierarchies): boolean {
  const { hierarchy } = hierarchies.controllers.memory;
  if (hierarchy === undefined) return false;
  const base = directoryOf(hierarchy, hierarchies.base);
  const has = (name: BytePath) => readCgroupFile(`${base}/${name}`) !== undefined;
  if (hierarchy.version === 1) return has('memory.memsw.limit_in_bytes');
  return has('memory.swap.max') || !has('memory.max');
}
