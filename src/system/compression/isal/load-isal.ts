import { createRequire } from 'node:module';
import { firstLine } from '../../../base/errors.js';
import { loadNative } from '../../native-loading.js';
import type { Isal } from './isal.js';

const require = createRequire(import.meta.url);

let loaded: Isal | null | undefined;
let reason: string | undefined;

/** ISA-L if it can be used here, else null. Loaded once per thread, when first asked for. */
export function loadIsal(): Isal | null {
  if (loaded === undefined) {
    try {
      if (process.env['PROVISIONER_ISAL'] === 'off') throw new Error('turned off by PROVISIONER_ISAL');
      loaded = loadNative(() => {
        const { NativeIsal } = require('./native-isal.js') as typeof import('./native-isal.js');
        return new NativeIsal();
      });
    } catch (error) {
      reason = firstLine(error);
      loaded = null;
    }
  }
  return loaded;
}

/** Why `loadIsal` found none; undefined when it did. */
export function isalMissingReason(): string | undefined {
  loadIsal();
  return reason;
}
