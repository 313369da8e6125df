import { closeSync, constants, linkSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crashPoint } from '../base/crash-points.js';
import { ProvisionerError, systemCode } from '../base/errors.js';
import { writeOwnFile } from '../base/own-files.js';
import { WHITEOUT_FORMATS, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import type { StorePaths } from '../paths.js';
import { openOwnFile } from '../system/syscalls/open-own-file.js';

/** Changes when a store of before can no longer be read. */
const STORE_VERSION = 1;

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
    const file = join(draft, 'format');
    writeOwnFile(file, `${JSON.stringify(format)}\n`, { flush: true });
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
