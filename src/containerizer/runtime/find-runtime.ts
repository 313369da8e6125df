import { ProvisionerError } from '../../base/errors.js';
import { findProgram } from '../../system/syscalls/find-program.js';
import type { LaunchSpec } from '../launch-spec.js';
import { type OciRuntime, RUNTIME_NAMES, type RuntimeName } from './oci-runtime.js';

/**
 * The runtime that was asked for, else the first that is there.
 * @throws ProvisionerError `ERR_RUNTIME_MISSING`
 */
export function findRuntime(wanted: RuntimeName | undefined): Pick<OciRuntime, 'name' | 'program'> {
  for (const name of wanted === undefined ? RUNTIME_NAMES : [wanted]) {
    const program = findSystemProgram(name);
    if (program !== undefined) return { name, program };
  }
  const missing = wanted === undefined ? 'neither crun nor runc is' : `${wanted} is not`;
  throw new ProvisionerError('ERR_RUNTIME_MISSING', `${missing} installed here, which runs containers`, {
    hint: `install it: \`apt-get install ${wanted ?? 'crun'}\`, \`dnf install ${wanted ?? 'crun'}\``,
    details: { runtime: wanted ?? 'any' },
  });
}

/** What is small enough to be process 1 beside a program, or alone: absolute; undefined where there is none, or none is wanted. */
export function findInit(wanted: LaunchSpec['init']): string | undefined {
  if (wanted !== true && wanted !== 'idle') return undefined;
  // The other one does nothing without a program.
  return findSystemProgram('catatonit') ?? (wanted === true ? findSystemProgram('tini') : undefined);
}

/** Also where administrators' programs are, which is not in everybody's `PATH`. */
export function findSystemProgram(name: string): string | undefined {
  const path = process.env['PATH'];
  const system = '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin';
  return findProgram(name, { PATH: path ? `${path}:${system}` : system });
}
