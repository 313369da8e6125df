import { readFileSync } from 'node:fs';

/** The text of a file; empty where there is none, or it cannot be read: then it says nothing. */
export function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
