import type { Dir } from 'node:fs';
import { opendir, readdir } from 'node:fs/promises';
import { systemCode } from '../../base/errors.js';

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
  try {
    for await (const { name } of directory) names.push(name);
  } catch (error) {
    // On a file system without d_type Node looks at each entry, and fails for all of them when somebody has removed one meanwhile.
    if (systemCode(error) !== 'ENOENT') throw error;
    return await namesAtOnce(path);
  }
  return names;
}

async function namesAtOnce(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}
