import { ProvisionerError } from '../../../base/errors.js';
import type { RuntimeSpecRlimit } from '../runtime-spec.js';

/** What `LaunchSpec` calls a limit of a process, and how the kernel's list of them does. @see getrlimit(2); proc(5), /proc/pid/limits */
export const ULIMITS: Readonly<Record<string, { readonly title: string }>> = {
  as: { title: 'Max address space' },
  core: { title: 'Max core file size' },
  cpu: { title: 'Max cpu time' },
  data: { title: 'Max data size' },
  fsize: { title: 'Max file size' },
  locks: { title: 'Max file locks' },
  memlock: { title: 'Max locked memory' },
  msgqueue: { title: 'Max msgqueue size' },
  nice: { title: 'Max nice priority' },
  nofile: { title: 'Max open files' },
  nproc: { title: 'Max processes' },
  rss: { title: 'Max resident set' },
  rtprio: { title: 'Max realtime priority' },
  rttime: { title: 'Max realtime timeout' },
  sigpending: { title: 'Max pending signals' },
  stack: { title: 'Max stack size' },
};

/** RLIM_INFINITY on 64-bit Linux. */
const NO_LIMIT = 2n ** 64n - 1n;

/**
 * @param ulimits -1 or Infinity for no limit
 * @param hardLimits of this process, which the container's cannot exceed
 * @throws ProvisionerError `ERR_BAD_OPTION`, `ERR_LIMIT_INVALID`, `ERR_LIMIT_UNSUPPORTED`
 */
export function rlimitsOf(
  ulimits: Readonly<Record<string, { readonly soft: number; readonly hard: number }>>,
  hardLimits: Readonly<Record<string, number>>,
): RuntimeSpecRlimit[] {
  return Object.entries(ulimits).map(([name, given]) => {
    if (!Object.hasOwn(ULIMITS, name)) {
      throw new ProvisionerError('ERR_BAD_OPTION', `there is no limit ${JSON.stringify(name)} of a process`, {
        hint: `there are ${Object.keys(ULIMITS).join(', ')}`,
        details: { ulimit: name },
      });
    }
    const [soft, hard] = [amountOf(name, given.soft), amountOf(name, given.hard)];
    if (soft > hard) {
      throw new ProvisionerError(
        'ERR_LIMIT_INVALID',
        `the soft limit ${name}=${given.soft} is above the hard one, ${given.hard}`,
        {
          details: { ulimit: name, soft: given.soft, hard: given.hard },
        },
      );
    }
    const most = hardLimits[name] ?? Number.POSITIVE_INFINITY;
    if (hard > most) {
      throw new ProvisionerError(
        'ERR_LIMIT_UNSUPPORTED',
        `the limit ${name}=${given.hard} is above what this process may have itself, ${most}`,
        {
          hint: `ask for ${most} at most, or start this process with a higher hard limit (\`ulimit -H\`, \`Limit${name.toUpperCase()}=\` of its unit)`,
          details: { ulimit: name, hard: given.hard, most },
        },
      );
    }
    return { type: `RLIMIT_${name.toUpperCase()}`, soft: written(soft), hard: written(hard) };
  });
}

function amountOf(name: string, amount: number): number {
  if (amount === -1 || amount === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  if (Number.isSafeInteger(amount) && amount >= 0) return amount;
  throw new ProvisionerError('ERR_BAD_OPTION', `the limit ${name}=${amount} is no whole number`, {
    hint: '-1 means no limit',
    details: { ulimit: name, amount },
  });
}

function written(amount: number): number | bigint {
  return amount === Number.POSITIVE_INFINITY ? NO_LIMIT : amount;
}
