import type { Command } from 'commander';
import type { LaunchLimits } from '../../../containerizer/index.js';
import { parseMemory } from '../../output/parse-units.js';
import { UsageError } from '../../usage-error.js';
import { IO_FLAGS, type IoFlags, ioOf } from './io-flags.js';
import { changedSpaceOf, newSpaceOf } from './space-flag.js';

/** Those that `update` takes too. */
export interface LimitFlags extends IoFlags {
  readonly memory?: string;
  readonly memorySwap?: string;
  readonly cpus?: string;
  readonly cpusetCpus?: string;
  readonly pidsLimit?: string;
  readonly storageOpt: readonly string[];
}

const all = (value: string, others: readonly string[] = []) => [...others, value];

export function each(command: Command, flags: string, description: string): void {
  command.option(flags, `${description}; may be repeated`, all, []);
}

export function addLimitFlags(command: Command): void {
  command
    .option('-m, --memory <size>', 'memory, such as 512m; without swap')
    .option('--memory-swap <size>', 'memory and swap together; -1: as much swap as there is')
    .option('--cpus <number>', 'processor time, such as 1.5 for that of one processor and a half')
    .option('--cpuset-cpus <list>', 'which processors, such as 0-2,7')
    .option('--pids-limit <n>', 'processes and threads (default: 4096); -1: no limit');
  each(
    command,
    '--storage-opt <name=value>',
    'size=SIZE of disk space for what it writes, such as size=10g, not of volumes with a name; on=memory, with run and create: it goes there, and is gone with a reboot',
  );
  for (const [flag, what] of IO_FLAGS) each(command, flag, what);
}

/** Of a container that is new. @throws UsageError */
export function newLimitsOf(flags: LimitFlags): LaunchLimits {
  return { ...limitsOf(flags), ...newSpaceOf(flags.storageOpt) };
}

/** Of one that is there. @throws UsageError */
export function changedLimitsOf(flags: LimitFlags): LaunchLimits {
  return { ...limitsOf(flags), ...changedSpaceOf(flags.storageOpt) };
}

/** All but disk space. @throws UsageError */
function limitsOf(flags: LimitFlags): LaunchLimits {
  const { memory, memorySwap, cpus, cpusetCpus, pidsLimit } = flags;
  return {
    ...(memory === undefined ? {} : { memoryBytes: parseMemory(memory, '--memory') }),
    ...(memorySwap === undefined
      ? {}
      : { memorySwapBytes: memorySwap === '-1' ? -1 : parseMemory(memorySwap, '--memory-swap') }),
    ...(cpus === undefined ? {} : { cpus: numberOf(cpus, '--cpus', '1.5') }),
    ...(cpusetCpus === undefined ? {} : { cpuset: cpusetCpus }),
    ...(pidsLimit === undefined ? {} : { pids: numberOf(pidsLimit, '--pids-limit', '4096') }),
    ...ioOf(flags),
  };
}

/** @param example for whoever has written something else @throws UsageError */
export function numberOf(text: string, option: string, example: string): number {
  const number = Number(text);
  if (/^-?[0-9.]+$/.test(text) && Number.isFinite(number)) return number;
  throw new UsageError(`${option}: not a number: ${JSON.stringify(text)}`, `write ${option} ${example}, for instance`);
}
