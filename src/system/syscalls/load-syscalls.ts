import { createRequire } from 'node:module';
import { descriptorShortage, firstLine, noDescriptors } from '../../base/errors.js';
import { loadNative } from '../native-loading.js';
import { NativeFreeSyscalls } from './native-free/native-free-syscalls.js';
import type { Syscalls } from './syscalls.js';

const require = createRequire(import.meta.url);

let loaded: Syscalls | undefined;
let reason: string | undefined;

/**
 * The best system calls there are here: native on 64-bit Linux with koffi, else native-free. Loaded once per thread, when
 * first asked for, because koffi takes 10 ms that `--help` need not pay.
 * @throws ProvisionerError `ERR_NO_DESCRIPTORS`: the next call may have what this one had not, and must not find that others were settled for
 */
export function loadSyscalls(): Syscalls {
  if (loaded === undefined) {
    try {
      loaded = loadNative(() => {
        const { NativeSyscalls } =
          require('./native/native-syscalls.js') as typeof import('./native/native-syscalls.js');
        return new NativeSyscalls();
      });
    } catch (error) {
      const shortage = descriptorShortage(error);
      if (shortage !== undefined) throw noDescriptors('load the native system calls', shortage, error);
      reason = firstLine(error);
      loaded = new NativeFreeSyscalls();
    }
  }
  return loaded;
}

/** Why `loadSyscalls` settled for the native-free ones; undefined when it did not. */
export function nativeMissingReason(): string | undefined {
  loadSyscalls();
  return reason;
}
