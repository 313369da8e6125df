import { type MarkNames, markNames, OPAQUE_MARKER, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import type { BytePath } from '../system/syscalls/byte-path.js';
import type { FileTree } from '../system/syscalls/syscalls.js';
import { join, nameOf, parentOf } from './entry-path.js';
import type { LayerDirectories, LayerDirectory } from './layer-directories.js';

const S_IFCHR = 0o020000;

/**
 * Writes what the layer hides, once all its entries are there:
 * 1. what stands below a whiteout, of whose name the layer itself has no directory, says nothing new: all there is gone. It must not make a directory there;
 * 2. directories with an opaque marker become opaque;
 * 3. a whiteout whose name the layer has again as a directory makes that one opaque; as anything else, that hides by itself;
 * 4. a whiteout below an opaque directory says nothing new, and would show, because overlay does not merge there;
 * 5. the rest become entries that hide.
 * The attribute that makes a directory opaque for overlay is set with its other attributes; see `EntryAttributes`.
 * @returns the directories in which entries of the last kind stand
 */
export function writeWhiteouts(
  tree: FileTree,
  directories: LayerDirectories,
  format: WhiteoutFormat,
  whiteouts: ReadonlySet<BytePath>,
  opaque: ReadonlySet<BytePath>,
): BytePath[] {
  const gone = new Set<BytePath>();
  for (const path of whiteouts) {
    const place = directories.destination(path);
    if (directories.get(place) === undefined) gone.add(place);
  }
  const isGone = isBelowSome(directories, (path) => gone.has(path));
  for (const path of opaque) {
    if (isGone(directories.destination(join(path, OPAQUE_MARKER)))) continue;
    const directory = placeDirectory(directories, path);
    if (directory !== undefined) directory.opaque = true;
  }
  const marks = markNames(format);
  const hidden: BytePath[] = [];
  for (const path of whiteouts) {
    // No layer of the store has anything of such a name.
    if (marks !== undefined && nameOf(path).startsWith(marks.prefix)) continue;
    const place = isGone(directories.destination(path)) ? undefined : placeBelow(directories, path);
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
  const isHidden = isBelowSome(directories, (path) => directories.get(path)?.opaque === true);
  for (const path of hidden) {
    if (isHidden(path)) continue;
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

/** Tells whether a path lies below one for which `is` holds. A directory that the layer has is asked for once, however much is in it. */
function isBelowSome(directories: LayerDirectories, is: (path: BytePath) => boolean): (path: BytePath) => boolean {
  const answers = new Map<BytePath, boolean>();
  return (path) => {
    const asked: BytePath[] = [];
    let answer = false;
    for (let at = path; at !== '' && !answer; ) {
      at = parentOf(at);
      const known = answers.get(at);
      answer = known ?? is(at);
      if (known !== undefined) break;
      if (directories.get(at) !== undefined) asked.push(at);
    }
    for (const directory of asked) answers.set(directory, answer);
    return answer;
  };
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
