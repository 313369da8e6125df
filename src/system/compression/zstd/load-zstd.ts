import { createRequire } from 'node:module';
import { firstLine } from '../../../base/errors.js';
import { loadNative } from '../../native-loading.js';
import type { Zstd } from './zstd.js';

const require = createRequire(import.meta.url);

let loaded: Zstd | null | undefined;
let reason: string | undefined;

/** libzstd if it can be used here, else null. Loaded once per thread, when first asked for. */
export function loadZstd(): Zstd | null {
  if (loaded === undefined) {
    try {
      if (process.env['PROVISIONER_ZSTD'] === 'off') throw new Error('turned off by PROVISIONER_ZSTD');
      // Its binary has symbols of the same names, which a library that is loaded into the process would take for its own.
      if (process.versions['zstd'] !== undefined) throw new Error('this Node.js brings one of its own');
      loaded = loadNative(() => {
        const { NativeZstd } = require('./native-zstd.js') as typeof import('./native-zstd.js');
        return new NativeZstd();
      });
    } catch (error) {
      reason = firstLine(error);
      loaded = null;
    }
  }
  return loaded;
}

/** Why `loadZstd` found none; undefined when it did. */
export function zstdMissingReason(): string | undefined {
  loadZstd();
  return reason;
}
