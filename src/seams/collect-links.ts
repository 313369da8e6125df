import { malformed } from '../base/malformed.js';
import { type BytePath, printablePath } from '../system/syscalls/byte-path.js';
import { DIRECTORY, type FileStatus } from '../system/syscalls/tree-calls.js';
import { join, nameOf, parentOf } from '../unpack/entry-path.js';
import type { LowerLink } from '../unpack/stacking.js';
import type { StackView } from './stack-view.js';

/** A layer with hard links to files of the layers below it, by indexes into the stack. */
export interface LinkingLayer {
  readonly layer: number;
  /** Behind the layer and its own seam. */
  readonly end: number;
}

/** The links of one such layer. */
export interface LayerLinks extends LinkingLayer {
  readonly links: readonly LowerLink[];
}

/** A file of the stack that has names in layers above its own. */
export interface LinkedFile {
  readonly path: BytePath;
  readonly status: FileStatus;
  /** An index into the stack. */
  readonly layer: number;
}

/**
 * Where a stack shows the hard links of its layers to files of the layers below them, and which files those are.
 *
 * Each link means the file that its target was just below its own layer, whatever has become of that name above; or an earlier link of its own layer, or a file of it that lands
 * where the target is, though the archive spells it otherwise. It shows unless a layer above its own has something else in its place.
 * @param whole the stack @param linking bottom first
 * @param landing where a link shows whose parent directory a layer only implies. Default: where that leads with the layer's own seam
 * @returns files by the paths of the links @throws ProvisionerError `ERR_LAYER_MALFORMED`
 */
export function collectLinks(
  whole: StackView,
  size: number,
  linking: readonly LayerLinks[],
  landing = (path: BytePath, upTo: StackView): BytePath => landingOf(path, upTo),
): Map<BytePath, LinkedFile> {
  const shown = new Map<BytePath, LinkedFile>();
  let seen = 0;
  for (const { layer, end, links } of linking) {
    forgetCovered(shown, whole.slice(seen, layer));
    const below = whole.slice(0, layer);
    const upTo = whole.slice(0, end);
    // Without a seam of its own nothing of the layer lands elsewhere than where its archive says.
    const hasSeam = end > layer + 1;
    const byName = new Map<BytePath, LinkedFile>();
    const own = new Map<BytePath, LinkedFile>();
    for (const { path, target } of links) {
      const file =
        byName.get(target) ??
        (hasSeam ? (linkedAt(target, upTo, own) ?? movedTo(target, upTo, layer)) : undefined) ??
        linkedAt(target, below, shown) ??
        fileAt(path, target, below);
      byName.set(path, file);
      own.set(landing(path, upTo), file);
    }
    // What the layer has itself does not hide its own links: overlay would have no place for both.
    forgetCovered(shown, whole.slice(layer, end));
    for (const [path, file] of own) shown.set(path, file);
    seen = end;
  }
  forgetCovered(shown, whole.slice(seen, size));
  return shown;
}

function forgetCovered(shown: Map<BytePath, LinkedFile>, above: StackView): void {
  for (const path of shown.keys()) if (above.covers(path)) shown.delete(path);
}

/** The file of a link that shows at the target. */
function linkedAt(target: BytePath, view: StackView, shown: ReadonlyMap<BytePath, LinkedFile>): LinkedFile | undefined {
  if (shown.size === 0) return undefined;
  const directory = view.find(parentOf(target), true);
  return directory === undefined ? undefined : shown.get(join(directory.path, nameOf(target)));
}

/** A file that the layer's own seam has there, because the layer has it below the name of a symlink. */
function movedTo(target: BytePath, upTo: StackView, layer: number): LinkedFile | undefined {
  const found = upTo.find(target);
  return found !== undefined && found.layer > layer && found.status.type !== DIRECTORY ? found : undefined;
}

function fileAt(path: BytePath, target: BytePath, below: StackView): LinkedFile {
  const found = below.find(target);
  const link = `the hard link ${printablePath(path)} points to`;
  if (found === undefined) throw malformed(`${link} ${printablePath(target)}, which is not there`);
  if (found.status.type === DIRECTORY) throw malformed(`${link} a directory`);
  return found;
}

function landingOf(path: BytePath, upTo: StackView): BytePath {
  const directory = upTo.find(parentOf(path), true);
  if (directory?.status.type !== DIRECTORY)
    throw malformed(`the layers have no directory for the hard link ${printablePath(path)}`);
  return join(directory.path, nameOf(path));
}
