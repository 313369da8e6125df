import { systemCode } from '../../base/errors.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import {
  CHARACTER_DEVICE,
  DIRECTORY,
  type DirectoryCursor,
  type FileStatus,
  type FileType,
  type OpenDirectory,
} from '../../system/syscalls/tree-calls.js';
import { NameSet } from './name-set.js';
import { isOverlayFormat, markNames, opaqueXattr, type WhiteoutFormat } from './whiteouts.js';

/** What a directory of the root filesystem shows under one name. */
export interface MergedEntry {
  readonly name: BytePath;
  readonly type: FileType;
  /** See `DirectoryCursor.inode`. */
  readonly inode: number | undefined;
  /** The layer whose entry it is: for a directory the topmost of `layers`. */
  readonly layer: number;
  /** For a directory: the layers that make it up, top first. What an opaque one hides is still among them. */
  readonly layers: readonly number[];
}

/** One layer's part of a directory, in which nothing has been read. */
export interface DirectoryPart {
  readonly layer: number;
  readonly directory: OpenDirectory;
}

/** True when this layer's directory hides the directories of that name in the layers below it. */
export function isOpaque(directory: OpenDirectory, whiteouts: WhiteoutFormat): boolean {
  if (!isOverlayFormat(whiteouts)) return statusOf(directory, markNames(whiteouts).opaque) !== undefined;
  const value = directory.xattrs('').get(opaqueXattr(whiteouts));
  return value?.length === 1 && value[0] === 0x79;
}

/**
 * The entries that a directory shows, as an overlay mount would: the topmost layer that knows a name decides what it is. Directories
 * are merged down to the first layer where the name is something else or gone; a whiteout hides the name and is never shown.
 *
 * The parts are read one after the other, and of their names only some bytes are kept: an image may have millions in one directory.
 * @param parts top first, none below an opaque one @param whiteouts undefined where nothing marks what is gone: whatever there is is shown
 */
export function* mergeDirectory(
  parts: readonly DirectoryPart[],
  whiteouts: WhiteoutFormat | undefined,
): Generator<MergedEntry, void, undefined> {
  /** Names that the layers below have no say in any more. */
  const settled = new NameSet();
  for (const [index, part] of parts.entries()) {
    const below = parts.slice(index + 1);
    // Only for those below: a whiteout does not hide the entry that its own layer has.
    const here = below.length === 0 ? undefined : new NameSet();
    const cursor = part.directory.cursor();
    try {
      while (cursor.next()) {
        const { name } = cursor;
        const type = cursor.type ?? typeOf(cursor, whiteouts);
        if (type === undefined) continue;
        const gone = whiteoutOf(part.directory, name, type, whiteouts);
        here?.add(gone ?? name);
        if (gone !== undefined || (index > 0 && settled.has(name))) continue;
        const layers = type === DIRECTORY ? [part, ...partsBelow(name, part, below, whiteouts)] : [];
        const { inode } = cursor;
        yield { name, type, inode, layer: part.layer, layers: layers.map(({ layer }) => layer) };
      }
    } finally {
      cursor.close();
    }
    if (here !== undefined) settled.addAll(here);
  }
}

/** Where listing does not tell. @returns undefined for what has gone from a directory that somebody may be changing: layers, which have whiteouts, are what they are */
function typeOf(cursor: DirectoryCursor, whiteouts: WhiteoutFormat | undefined): FileType | undefined {
  try {
    return cursor.usage().type;
  } catch (error) {
    if (whiteouts === undefined && systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Of the parts below, those whose directory of that name is merged with that of `top`, which has one. */
function partsBelow(
  name: BytePath,
  top: DirectoryPart,
  below: readonly DirectoryPart[],
  whiteouts: WhiteoutFormat | undefined,
): DirectoryPart[] {
  const merged: DirectoryPart[] = [];
  const marks = whiteouts && markNames(whiteouts);
  const hides = ({ directory }: DirectoryPart): boolean =>
    marks !== undefined && statusOf(directory, marks.prefix + name) !== undefined;
  if (below.length === 0 || hides(top)) return merged;
  for (const part of below) {
    const status = statusOf(part.directory, name);
    if (status !== undefined && status.type !== DIRECTORY) break;
    if (status !== undefined) merged.push(part);
    if (hides(part)) break;
  }
  return merged;
}

/** The name that an entry says is gone; undefined for an entry to be shown. The mark of an opaque directory counts as a whiteout of nothing. */
function whiteoutOf(
  directory: OpenDirectory,
  name: BytePath,
  type: FileType,
  whiteouts: WhiteoutFormat | undefined,
): BytePath | undefined {
  if (whiteouts === undefined) return undefined;
  const marks = markNames(whiteouts);
  if (marks !== undefined) return name.startsWith(marks.prefix) ? name.slice(marks.prefix.length) : undefined;
  return type === CHARACTER_DEVICE && isWhiteout(directory.status(name), whiteouts) ? name : undefined;
}

/** True for the device that says an entry is gone. */
export function isWhiteout({ type, device }: FileStatus, whiteouts: WhiteoutFormat): boolean {
  return isOverlayFormat(whiteouts) && type === CHARACTER_DEVICE && device.major === 0 && device.minor === 0;
}

/** @returns undefined when nothing of that name is there */
export function statusOf(directory: OpenDirectory, name: BytePath): FileStatus | undefined {
  try {
    return directory.status(name);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
