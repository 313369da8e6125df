import type { BytePath } from '../syscalls/byte-path.js';
import type { FileTree } from '../syscalls/syscalls.js';
import { type MarkNames, markNames, OPAQUE_MARKER, type WhiteoutFormat } from '../tree/whiteouts.js';
import { join, nameOf, parentOf } from './entry-path.js';
import type { LayerDirectories, LayerDirectory } from './layer-directories.js';

const S_IFCHR = 0o020000;

/**
 * Writes what the layer hides, once all its entries are there:
 * 1. directories with an opaque marker become opaque;
 * 2. a whiteout whose name the layer has again as a directory makes that one opaque; as anything else, that hides by itself;
 * 3. a whiteout below an opaque directory says nothing new, and would show, because overlay does not merge there;
 * 4. the rest become entries that hide.
 * The attribute that makes a directory opaque for overlay is set with its other attributes; see `EntryAttributes`.
 * @returns the directories in which entries of the fourth kind stand
 */
export function writeWhiteouts(
  tree: FileTree,
  directories: LayerDirectories,
  format: WhiteoutFormat,
  whiteouts: ReadonlySet<BytePath>,
  opaque: ReadonlySet<BytePath>,
): BytePath[] {
  for (const path of opaque) {
    const directory = placeDirectory(directories, path);
    if (directory !== undefined) directory.opaque = true;
  }
  const marks = markNames(format);
  const hidden: BytePath[] = [];
  for (const path of whiteouts) {
    // No layer of the store has anything of such a name.
    if (marks !== undefined && nameOf(path).startsWith(marks.prefix)) continue;
    const place = placeBelow(directories, path);
    if (place === undefined) continue;
    const directory = directories.get(place);
    if (directory === undefined) {
      hidden.push(place);
    } else {
      directory.opaque = true;
      directory.fresh = true;
    }
  }
  const marked = new Set<BytePath>();
  for (const path of hidden) {
    if (isBelowOpaque(directories, path)) continue;
    if (hide(tree, path, marks)) marked.add(parentOf(path));
  }
  if (marks !== undefined) {
    for (const [path, directory] of directories.entries()) {
      if (directory.opaque) tree.closeFile(tree.createFile(join(path, marks.opaque), 0o600));
    }
  }
  return [...marked];
}

/** The layer's directory of that path, made when the archive only implies it; undefined where the layer has something else. */
function placeDirectory(directories: LayerDirectories, path: BytePath): LayerDirectory | undefined {
  const place = placeBelow(directories, join(path, OPAQUE_MARKER));
  return place === undefined ? undefined : directories.get(parentOf(place));
}

/** Where the path lies; undefined when the layer has something else than a directory above it, which hides all there is below. */
function placeBelow(directories: LayerDirectories, path: BytePath): BytePath | undefined {
  try {
    return directories.place(path);
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_LAYER_MALFORMED') return undefined;
    throw error;
  }
}

function isBelowOpaque(directories: LayerDirectories, path: BytePath): boolean {
  for (let at = path; at !== ''; ) {
    at = parentOf(at);
    if (directories.get(at)?.opaque) return true;
  }
  return false;
}

/** @returns false when the layer has something of that name, which hides by itself */
function hide(tree: FileTree, path: BytePath, marks: MarkNames | undefined): boolean {
  try {
    if (marks === undefined) {
      tree.makeNode(path, S_IFCHR, { major: 0, minor: 0 });
    } else if (!exists(tree, path)) {
      tree.closeFile(tree.createFile(join(parentOf(path), marks.prefix + nameOf(path)), 0o600));
    } else {
      return false;
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function exists(tree: FileTree, path: BytePath): boolean {
  try {
    tree.readLink(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
