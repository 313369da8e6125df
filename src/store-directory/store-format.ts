import { closeSync, constants, linkSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { crashPoint } from '../base/crash-points.js';
import { ProvisionerError, systemCode } from '../base/errors.js';
import { writeOwnFile } from '../base/own-files.js';
import { WHITEOUT_FORMATS, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import type { StorePaths } from '../paths.js';
import { openOwnFile } from '../system/syscalls/open-own-file.js';

/**
 * Grows when a release of before would do wrong with what a newer one stores. Each newer one reads what is older, and raises its version when it opens it for writing.
 *
 *   1   layers have `rootfs`, `stacking.json` and `contents`
 *   2   they may have `tar` beside them, which a release of version 1 would take for damage
 */
const STORE_VERSION = 2;

export interface StoreFormat {
  readonly version: number;
  readonly whiteouts: WhiteoutFormat;
}

/**
 * What a store says of itself. @returns undefined for a directory that is none yet
 * @throws ProvisionerError `ERR_STORE_FORMAT` for a store of another version, `ERR_STORE_DAMAGED`, `ERR_PERMISSION`; else like Node's `fs`
 */
export function readFormat(paths: StorePaths): StoreFormat | undefined {
  let text: string;
  try {
    const descriptor = openOwnFile(paths.format, constants.O_RDONLY);
    try {
      text = readFileSync(descriptor, 'utf8');
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const format = parseFormat(text, paths.format);
  if (format.version < 1 || format.version > STORE_VERSION) {
    throw new ProvisionerError(
      'ERR_STORE_FORMAT',
      `the store ${paths.root} has format ${format.version}, this release reads formats 1 to ${STORE_VERSION}`,
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
    if (typeof version === 'number' && whiteouts !== undefined && WHITEOUT_FORMATS.includes(whiteouts)) {
      return { version, whiteouts };
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

/**
 * Makes a store of a directory that has all the rest of one.
 * @param draft a directory on the same file system, for a moment
 * @returns the store's format, which another process may have decided first
 */
export function stampFormat(paths: StorePaths, whiteouts: WhiteoutFormat, draft: string): StoreFormat {
  const format: StoreFormat = { version: STORE_VERSION, whiteouts };
  try {
    const file = drafted(format, draft);
    crashPoint('open.formatDrafted');
    // A link appears whole or not at all, and the first of several processes wins.
    linkSync(file, paths.format);
    crashPoint('open.formatMade');
    return format;
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    return readFormat(paths) ?? format;
  }
}

/**
 * Brings a store that no release of its own version has open any more to the version of this one. A crash leaves it as it was.
 * @param draft as for `stampFormat`
 */
export function raiseFormat(paths: StorePaths, { whiteouts }: StoreFormat, draft: string): StoreFormat {
  const format: StoreFormat = { version: STORE_VERSION, whiteouts };
  renameSync(drafted(format, draft), paths.format);
  crashPoint('open.formatRaised');
  return format;
}

/** Whether a store of this version has to be raised before it is written to. */
export function isOlder({ version }: StoreFormat): boolean {
  return version < STORE_VERSION;
}

function drafted(format: StoreFormat, draft: string): string {
  const file = join(draft, 'format');
  writeOwnFile(file, `${JSON.stringify(format)}\n`, { flush: true });
  return file;
}
