import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { toBytePath } from '../syscalls/byte-path.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import { markOpaque } from '../tree/marks.js';
import type { WhiteoutFormat } from '../tree/whiteouts.js';

/** The best format that can be written, found out by writing it. @param prefix of the path of the place to try it in */
export function probeWhiteouts(prefix: string, syscalls: Syscalls): WhiteoutFormat {
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
    markOpaque(directory, format, syscalls);
    syscalls.makeNode(toBytePath(join(directory, 'whiteout')), 0o020000, { major: 0, minor: 0 });
    return true;
  } catch {
    return false;
  }
}
