import { createRequire } from 'node:module';
import { descriptorShortage, firstLine, noDescriptors } from '../../base/errors.js';
import { loadNative } from '../native-loading.js';
import { NativeFreeProcesses } from './native-free/native-free-processes.js';
import type { Processes } from './processes.js';

const require = createRequire(import.meta.url);

let loaded: Processes | undefined;
let reason: string | undefined;

/**
 * The best way there is here to start processes: native on 64-bit Linux with koffi and glibc 2.34 or newer, else native-free. Loaded once per thread, when first
 * asked for.
 * @throws ProvisionerError `ERR_NO_DESCRIPTORS`: the next call may have what this one had not
 */
export function loadProcesses(): Processes {
  if (loaded === undefined) {
    try {
      loaded = loadNative(() => {
        const { NativeProcesses } =
          require('./native/native-processes.js') as typeof import('./native/native-processes.js');
        return new NativeProcesses();
      });
    } catch (error) {
      const shortage = descriptorShortage(error);
      if (shortage !== undefined) throw noDescriptors('load the native system calls', shortage, error);
      reason = firstLine(error);
      loaded = new NativeFreeProcesses();
    }
  }
  return loaded;
}

/** Why `loadProcesses` settled for the native-free way; undefined when it did not. */
export function nativeProcessesMissingReason(): string | undefined {
  loadProcesses();
  return reason;
}
