import { readFileSync } from 'node:fs';
import { systemCode } from '../errors.js';

/**
 * What is mounted below a directory of this process's mount namespace, the innermost first; the directory itself is not among them.
 * @param directory absolute, without symlinks @returns none where the system has no such table
 * @see proc(5), /proc/pid/mountinfo
 */
export function mountsBelow(directory: string): string[] {
  let table: string;
  try {
    table = readFileSync('/proc/self/mountinfo', 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
  return table
    .split('\n')
    .map((line) => decodeOctal(line.split(' ')[4] ?? ''))
    .filter((path) => path.startsWith(`${directory}/`))
    .toReversed();
}

/** The kernel writes space, tab, newline and backslash in octal. */
export function decodeOctal(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
