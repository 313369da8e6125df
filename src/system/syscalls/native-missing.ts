import { ProvisionerError } from '../../base/errors.js';
import { nativeMissingReason } from './load-syscalls.js';

/** Why there are no native system calls, as a clause. */
export function whyNativeMissing(): string {
  return nativeMissingReason() ?? 'others were chosen';
}

/**
 * The refusal of what needs native system calls on a machine that could have them.
 * @param message what cannot be done, and why @param otherwise what else can be done than to install them
 */
export function nativeMissing(message: string, otherwise: string): ProvisionerError {
  return new ProvisionerError('ERR_NATIVE_MISSING', message, {
    hint: `install koffi for this Node.js, by \`npm install\` in the directory of this program; or ${otherwise}`,
    details: { module: 'koffi', machine: `${process.platform}-${process.arch}`, node: process.version },
  });
}
