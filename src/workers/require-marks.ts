import { marksNeedNativeCalls } from '../files/tree/marks.js';
import { isOverlayFormat, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';

/**
 * Stands before work on layers whose whiteouts are devices and extended attributes. Without native system calls these can neither be written nor all be
 * seen: a copy would show files that an image has removed.
 * @throws ProvisionerError `ERR_NATIVE_MISSING`
 */
export function requireMarks(whiteouts: WhiteoutFormat): void {
  if (!isOverlayFormat(whiteouts) || loadSyscalls().kind === 'native') return;
  throw marksNeedNativeCalls();
}
