import { readdirSync } from 'node:fs';
import { firstLine, systemCode } from '../base/errors.js';
import { readNames } from '../files/tree/read-names.js';
import { type Finding, finding } from './findings.js';

/** The names in a directory, sorted. @returns nothing for a directory that is not there */
export function listDirectory(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

/** As `listDirectory`, for one of the store's: one that cannot be read is told as damage, and the check goes on as if it were empty. */
export function listOrTell(path: string, findings: Finding[]): string[] {
  try {
    return listDirectory(path);
  } catch (error) {
    findings.push(unreadable(path, error));
    return [];
  }
}

/** The same for one with very many names, which come in no order. */
export async function namesOrTell(path: string, findings: Finding[]): Promise<string[]> {
  try {
    return await readNames(path);
  } catch (error) {
    findings.push(unreadable(path, error));
    return [];
  }
}

/** @throws `error` when it is not of the system */
export function unreadable(path: string, error: unknown): Finding {
  if (systemCode(error) === undefined) throw error;
  const message = `${path} cannot be read: ${firstLine(error)}`;
  return finding({ severity: 'damage', code: 'DIRECTORY_UNREADABLE', subject: path, message });
}
