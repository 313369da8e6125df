import { closeSync, lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isShortage } from '../base/errors.js';
import { makeOwnDirectory, makeOwnFile, makeOwnPlace } from '../base/own-files.js';
import { isMarkedOpaque, markOpaque } from '../files/tree/marks.js';
import {
  isOverlayFormat,
  markNames,
  type OverlayFormat,
  WHITEOUT_FORMATS,
  type WhiteoutFormat,
} from '../files/tree/whiteouts.js';
import { toBytePath } from '../system/syscalls/byte-path.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';

type NamedFormat = Exclude<WhiteoutFormat, OverlayFormat>;

/**
 * The best format that can be written, and seen again, found out by trying it.
 * @param prefix of the path of the place to try it in
 * @throws like Node's `fs` where none can be had
 */
export function probeWhiteouts(prefix: string, syscalls: Syscalls): WhiteoutFormat {
  // An ordinary user could write `user` marks, but not mount them, and a plain store can be copied with any tool.
  const isRoot = process.geteuid?.() === 0;
  const place = makeOwnPlace(prefix);
  try {
    let failure: unknown;
    for (const format of WHITEOUT_FORMATS) {
      const directory = join(place, format);
      try {
        makeOwnDirectory(directory);
        if (!isOverlayFormat(format)) markByNames(directory, format);
        else if (!isRoot || !canMark(directory, format, syscalls)) continue;
        return format;
      } catch (error) {
        if (isShortage(error)) throw error;
        failure = error;
      }
    }
    throw failure;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** @throws like Node's `fs` where a file of such a name cannot be made, or does not show */
function markByNames(directory: string, format: NamedFormat): void {
  const { prefix, opaque } = markNames(format);
  const names = [`${prefix}name`, opaque].toSorted();
  for (const name of names) closeSync(makeOwnFile(join(directory, name), 'wx'));
  for (const name of names) lstatSync(join(directory, name));
  const found = readdirSync(directory).toSorted();
  if (found.join('/') !== names.join('/')) throw new Error(`files of the names ${names.join(' and ')} do not show`);
}

function canMark(directory: string, format: OverlayFormat, syscalls: Syscalls): boolean {
  const whiteout = join(directory, 'whiteout');
  markOpaque(directory, format, syscalls);
  syscalls.makeNode(toBytePath(whiteout), 0o020000, { major: 0, minor: 0 });
  const status = lstatSync(whiteout);
  return status.isCharacterDevice() && status.rdev === 0 && isMarkedOpaque(directory, format, syscalls);
}
