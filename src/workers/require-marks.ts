import { loadSyscalls } from '../syscalls/load-syscalls.js';
import { nativeMissing, whyNativeMissing } from '../syscalls/native-missing.js';
import type { WhiteoutFormat } from '../tree/whiteouts.js';

/**
 * Stands before work on layers whose whiteouts are devices and extended attributes. Without native system calls these can neither be written nor all be
 * seen: a copy would show files that an image has removed.
 * @throws ProvisionerError `ERR_NATIVE_MISSING`
 */
export function requireMarks(whiteouts: WhiteoutFormat): void {
  if (whiteouts === 'plain' || loadSyscalls().kind === 'native') return;
  throw nativeMissing(
    `the layers of this store have marks for which native system calls are needed, and these are missing here (${whyNativeMissing()})`,
    'use another store with --root',
  );
}
