import type { Dir } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { systemCode } from '../errors.js';

/** Some milliseconds' worth. */
const NAMES_AT_ONCE = 1000;

/**
 * The names in a directory that may have very many, in no order, with turns for others between them.
 * @returns none for a directory that is not there
 */
export async function readNames(path: string): Promise<string[]> {
  let directory: Dir;
  try {
    directory = await opendir(path, { bufferSize: NAMES_AT_ONCE });
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
  const names: string[] = [];
  for await (const { name } of directory) names.push(name);
  return names;
}
