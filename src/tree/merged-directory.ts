import type { BytePath } from '../syscalls/byte-path.js';
import {
  CHARACTER_DEVICE,
  DIRECTORY,
  type DirectoryEntry,
  type FileType,
  type OpenDirectory,
} from '../syscalls/tree-calls.js';
import { OPAQUE_MARKER, opaqueXattr, WHITEOUT_PREFIX, type WhiteoutFormat } from './whiteouts.js';

/** What a directory of the root filesystem shows under one name. */
export interface MergedEntry {
  readonly name: BytePath;
  readonly type: FileType;
  /** See `DirectoryEntry.inode`. */
  readonly inode: number | undefined;
  /** The layer whose entry it is: for a directory the topmost of `layers`. */
  readonly layer: number;
  /** For a directory: the layers that make it up, top first. What an opaque one hides is still among them. */
  readonly layers: number[];
}

/** One layer's part of a directory. */
export interface DirectoryPart {
  readonly layer: number;
  readonly directory: OpenDirectory;
  entries: readonly DirectoryEntry[];
}

/** True when this layer's directory hides the directories of that name in the layers below it. */
export function isOpaque({ directory, entries }: DirectoryPart, whiteouts: WhiteoutFormat): boolean {
  if (whiteouts === 'plain') return entries.some(({ name }) => name === OPAQUE_MARKER);
  const value = directory.xattrs('').get(opaqueXattr(whiteouts));
  return value?.length === 1 && value[0] === 0x79;
}

/**
 * The entries that a directory shows, as an overlay mount would: the topmost layer that knows a name decides what it is. Directories
 * are merged down to the first layer where the name is something else or gone; a whiteout hides the name and is never shown.
 * @param parts top first, none below an opaque one
 */
export function mergeDirectory(parts: readonly DirectoryPart[], whiteouts: WhiteoutFormat): MergedEntry[] {
  const [only] = parts;
  // Most directories are of one layer: nothing to look up then, but whiteouts still have to go.
  if (only !== undefined && parts.length === 1) {
    return only.entries
      .filter((entry) => whiteoutOf(only, entry, whiteouts) === undefined)
      .map((entry) => shown(only, entry));
  }
  const merged = new Map<BytePath, MergedEntry>();
  // Names that the layers below have no say in any more.
  const settled = new Set<BytePath>();
  for (const part of parts) {
    const hidden: BytePath[] = [];
    for (const entry of part.entries) {
      const gone = whiteoutOf(part, entry, whiteouts);
      if (gone !== undefined) {
        hidden.push(gone);
        continue;
      }
      if (settled.has(entry.name)) continue;
      if (entry.type !== DIRECTORY) hidden.push(entry.name);
      const above = merged.get(entry.name);
      if (above === undefined) merged.set(entry.name, shown(part, entry));
      else if (entry.type === DIRECTORY) above.layers.push(part.layer);
    }
    // Only now: a whiteout does not hide the entry that its own layer has.
    for (const name of hidden) settled.add(name);
  }
  return [...merged.values()];
}

function shown({ layer }: DirectoryPart, { name, type, inode }: DirectoryEntry): MergedEntry {
  return { name, type, inode, layer, layers: type === DIRECTORY ? [layer] : [] };
}

/** The name that an entry says is gone; undefined for an entry to be shown. The mark of an opaque directory counts as a whiteout of nothing. */
function whiteoutOf(
  part: DirectoryPart,
  { name, type }: DirectoryEntry,
  whiteouts: WhiteoutFormat,
): BytePath | undefined {
  if (whiteouts === 'plain') return name.startsWith(WHITEOUT_PREFIX) ? name.slice(WHITEOUT_PREFIX.length) : undefined;
  if (type !== CHARACTER_DEVICE) return undefined;
  const { major, minor } = part.directory.status(name).device;
  return major === 0 && minor === 0 ? name : undefined;
}
