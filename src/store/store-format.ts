import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crashPoint } from '../crash-points.js';
import { fileError, ProvisionerError, systemCode } from '../errors.js';
import type { Liveness } from '../locks/liveness.js';
import { PROBE, transientName } from '../locks/process-identity.js';
import type { StorePaths } from '../paths.js';
import { toBytePath } from '../syscalls/byte-path.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import { makeDirectories } from '../tree/make-directories.js';
import { opaqueXattr, type WhiteoutFormat } from '../tree/whiteouts.js';

/** Changes when a store of before can no longer be read. */
const STORE_VERSION = 1;

export interface StoreFormat {
  readonly version: number;
  readonly whiteouts: WhiteoutFormat;
}

/**
 * Opens a store's directory, making what is missing; only then are system calls needed. Several processes may do so at once.
 * Only its user may enter it: a layer can hold setuid programs that nobody is meant to run from there.
 * @throws ProvisionerError `ERR_STORE_FORMAT` for a store of another version, `ERR_STORE_DAMAGED`, `ERR_PERMISSION`, `ERR_IO`
 */
export function openStoreDirectory(paths: StorePaths, syscalls: () => Syscalls, liveness: Liveness): StoreFormat {
  try {
    makeDirectories(paths.root);
    const format = readFormat(paths) ?? createFormat(paths, syscalls(), liveness);
    for (const directory of [paths.staging, paths.layers, paths.gc, paths.containers]) makeDirectories(directory);
    return format;
  } catch (error) {
    throw fileError(error, 'open the store', paths.root);
  }
}

function readFormat(paths: StorePaths): StoreFormat | undefined {
  let text: string;
  try {
    text = readFileSync(paths.format, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const format = parseFormat(text, paths.format);
  if (format.version !== STORE_VERSION) {
    throw new ProvisionerError(
      'ERR_STORE_FORMAT',
      `the store ${paths.root} has format ${format.version}, this version reads format ${STORE_VERSION}`,
      {
        hint: format.version > STORE_VERSION ? 'upgrade provisioner, or use another --root' : 'use another --root',
        details: { found: format.version, expected: STORE_VERSION },
      },
    );
  }
  return format;
}

function parseFormat(text: string, path: string): StoreFormat {
  try {
    const { version, whiteouts } = JSON.parse(text) as Partial<StoreFormat>;
    if (typeof version === 'number' && ['trusted', 'user', 'plain'].includes(String(whiteouts))) {
      return { version, whiteouts: whiteouts as WhiteoutFormat };
    }
    // A newer format may say other things; its version is all that is needed to refuse it.
    if (typeof version === 'number' && version !== STORE_VERSION) return { version, whiteouts: 'plain' };
  } catch {
    // Told below.
  }
  throw new ProvisionerError('ERR_STORE_DAMAGED', `${path} does not say what format the store has`, {
    hint: 'is --root really a store? if it is, restore this file from a store made by the same user',
    details: { path },
  });
}

function createFormat(paths: StorePaths, syscalls: Syscalls, { identity }: Liveness): StoreFormat {
  makeDirectories(paths.staging);
  const format: StoreFormat = {
    version: STORE_VERSION,
    whiteouts: probeWhiteouts(join(paths.staging, transientName(PROBE, identity)), syscalls),
  };
  // Where a recovery finds it, should this process die here.
  const draft = mkdtempSync(join(paths.staging, transientName(PROBE, identity)));
  try {
    const file = join(draft, 'format');
    writeFileSync(file, `${JSON.stringify(format)}\n`, { flush: true });
    crashPoint('open.formatDrafted');
    // A link appears whole or not at all, and the first of several processes wins.
    linkSync(file, paths.format);
    crashPoint('open.formatMade');
    return format;
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    return readFormat(paths) ?? format;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** The best format that can be written here, found out by writing it. @param prefix of the place to try it in */
function probeWhiteouts(prefix: string, syscalls: Syscalls): WhiteoutFormat {
  // An ordinary user could write `user` marks, but not mount them, and a plain store can be copied with any tool.
  if (process.geteuid?.() !== 0) return 'plain';
  const place = mkdtempSync(prefix);
  try {
    for (const format of ['trusted', 'user'] as const) if (canMark(place, format, syscalls)) return format;
    return 'plain';
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function canMark(place: string, format: 'trusted' | 'user', syscalls: Syscalls): boolean {
  const directory = join(place, format);
  try {
    mkdirSync(directory);
    syscalls.setXattr(toBytePath(directory), opaqueXattr(format), Buffer.from('y'));
    syscalls.makeNode(toBytePath(join(directory, 'whiteout')), 0o020000, { major: 0, minor: 0 });
    return true;
  } catch {
    return false;
  }
}
