import { mkdirSync, rmdirSync } from 'node:fs';
import { writeContents } from '../contents/write-contents.js';
import { layerRootfs } from '../paths.js';
import { type BytePath, printablePath } from '../syscalls/byte-path.js';
import type { FileTime } from '../syscalls/syscalls.js';
import { DIRECTORY, type FileStatus, type OpenDirectory, SYMLINK, type TreeCalls } from '../syscalls/tree-calls.js';
import { isWhiteout, statusOf } from '../tree/merged-directory.js';
import { OPAQUE_MARKER, WHITEOUT_PREFIX, type WhiteoutFormat } from '../tree/whiteouts.js';
import { join, nameOf, parentOf } from '../unpack/entry-path.js';
import { malformed } from '../unpack/malformed.js';
import { readStacking, type Stacking } from '../unpack/stacking.js';
import { SeamWriter } from './seam-writer.js';
import { type Found, hidesBelow, StackView } from './stack-view.js';

export interface SeamRequest {
  /** The directories of the layers and seams below, bottom first, beginning with the topmost that hides all below it. */
  readonly below: readonly string[];
  /** The directory of the layer that lies on them. */
  readonly layer: string;
  /** An empty directory that becomes the seam's. */
  readonly target: string;
  readonly whiteouts: WhiteoutFormat;
  readonly privileged: boolean;
}

export interface MadeSeam {
  /** 0 when the layer needs no seam here; then nothing is in the target. */
  readonly entries: number;
  readonly whiteouts: boolean;
  /** Disk use of its directory in bytes, as `du` counts it. */
  readonly bytes: number;
}

/**
 * Makes the seam of a layer: a small layer that goes right above it and corrects what its archive leaves to the layers below.
 *
 * | the archive                                             | the seam                                                       |
 * |---------------------------------------------------------|----------------------------------------------------------------|
 * | implies a directory that is below                       | has the directory with the attributes from below               |
 * | implies a directory where a symlink to one is below     | has the symlink again, and the entries where it points         |
 * | hides entries of a directory that no layer below has    | has the directory, so that overlay merges it and hides marks   |
 * | links to a file below                                   | has the file and the link                                      |
 *
 * It depends on the layers up to its own and on nothing above, so images that share those share it.
 * @see OCI image-spec, layer.md, "Applying Changesets"
 */
export async function makeSeam(request: SeamRequest, calls: TreeCalls): Promise<MadeSeam> {
  const stacking = await readStacking(request.layer);
  const rootfs = layerRootfs(request.target);
  mkdirSync(rootfs, 0o700);
  const below = new StackView(calls, request.below.map(layerRootfs), request.whiteouts);
  const own = new StackView(calls, [layerRootfs(request.layer)], request.whiteouts);
  const seam = new Seam(below, own, stacking, request, calls, rootfs);
  try {
    const made = seam.make();
    if (made.entries === 0) rmdirSync(rootfs);
    return { ...made, bytes: made.entries === 0 ? 0 : writeContents(request.target, calls) };
  } finally {
    seam.close();
    own.close();
    below.close();
  }
}

/** The layer's index in its own view. */
const OWN = 0;

class Seam {
  readonly #below: StackView;
  readonly #own: StackView;
  readonly #stacking: Stacking;
  readonly #whiteouts: WhiteoutFormat;
  readonly #writer: SeamWriter;
  readonly #implied: ReadonlySet<BytePath>;
  /** Implied directories whose entries land elsewhere, and where. */
  readonly #moved = new Map<BytePath, BytePath>();
  /** Hard links of the layer that lead below, and the files there: a later one may link to an earlier one. */
  readonly #linked = new Map<BytePath, BytePath>();

  constructor(
    below: StackView,
    own: StackView,
    stacking: Stacking,
    { whiteouts, privileged }: SeamRequest,
    calls: TreeCalls,
    rootfs: string,
  ) {
    this.#below = below;
    this.#own = own;
    this.#stacking = stacking;
    this.#whiteouts = whiteouts;
    this.#implied = new Set(stacking.implied);
    this.#writer = new SeamWriter(calls, rootfs, { whiteouts, privileged }, (path) => this.#appearance(path));
  }

  make(): Omit<MadeSeam, 'bytes'> {
    for (const path of this.#stacking.implied) if (path !== '' && !this.#isMoved(path)) this.#impliedDirectory(path);
    for (const path of this.#stacking.whiteoutDirectories) {
      if (path === '' || this.#isMoved(path)) continue;
      if (this.#below.find(path)?.status.type !== DIRECTORY) this.#writer.directory(path);
    }
    for (const { path, target } of this.#stacking.lowerLinks) this.#lowerLink(path, target);
    this.#writer.finish();
    return { entries: this.#writer.entries, whiteouts: this.#writer.hasWhiteouts };
  }

  close(): void {
    this.#writer.close();
  }

  /** What a directory shows: the layer's own, unless it is only implied and there is one below. */
  #appearance(path: BytePath): { view: StackView; layer: number; path: BytePath } {
    const own = this.#own.find(path);
    const isOwn = own?.status.type === DIRECTORY && own.path === path;
    if (isOwn && !this.#implied.has(path)) return { view: this.#own, layer: OWN, path };
    const below = this.#below.find(path);
    if (below?.status.type === DIRECTORY) return { view: this.#below, layer: below.layer, path: below.path };
    if (isOwn) return { view: this.#own, layer: OWN, path };
    throw malformed(`the layers have no directory ${printablePath(path)} for what belongs in it`);
  }

  #impliedDirectory(path: BytePath): void {
    const below = this.#below.find(path);
    if (below === undefined) return;
    if (below.status.type === DIRECTORY) {
      const own = this.#own.find(path);
      if (own === undefined || this.#looksAlike(below, own)) return;
      this.#writer.directory(path, { view: this.#below, layer: below.layer, path: below.path });
    } else if (below.status.type === SYMLINK) {
      const pointsTo = this.#below.find(path, true);
      if (pointsTo?.status.type !== DIRECTORY) return;
      this.#moved.set(path, pointsTo.path);
      this.#copyFrom(this.#below, below, path);
      this.#moveEntries(path, pointsTo.path);
    }
  }

  /** Copies the entries of the layer's directory `from` to where they land in the rootfs. */
  #moveEntries(from: BytePath, to: BytePath): void {
    this.#own.inDirectory(from, OWN, (directory) => {
      for (const { name } of directory.list()) {
        const status = statusOf(directory, name);
        if (status === undefined) continue;
        const target = join(to, name);
        if (isWhiteout(status, this.#whiteouts)) this.#writer.whiteout(target);
        else if (this.#whiteouts === 'plain' && name.startsWith(WHITEOUT_PREFIX)) this.#movePlainMark(to, name);
        else if (status.type === DIRECTORY) this.#moveDirectory(directory, join(from, name), target);
        else this.#writer.copy(directory, name, status, OWN, target);
      }
    });
  }

  #moveDirectory(parent: OpenDirectory, from: BytePath, to: BytePath): void {
    const below = this.#below.find(to);
    if (this.#implied.has(from) && below?.status.type === SYMLINK) {
      const pointsTo = this.#below.find(to, true);
      if (pointsTo?.status.type === DIRECTORY) {
        this.#moveEntries(from, pointsTo.path);
        return;
      }
    }
    const keepsLook = this.#implied.has(from) && below?.status.type === DIRECTORY;
    const source = keepsLook
      ? { view: this.#below, layer: below.layer, path: below.path }
      : { view: this.#own, layer: OWN, path: from };
    this.#writer.directory(to, source, hidesBelow(parent, nameOf(from), this.#whiteouts));
    this.#moveEntries(from, to);
  }

  #movePlainMark(to: BytePath, mark: BytePath): void {
    // An opaque directory is marked by whoever makes it.
    if (mark !== OPAQUE_MARKER) this.#writer.whiteout(join(to, mark.slice(WHITEOUT_PREFIX.length)));
  }

  #lowerLink(path: BytePath, target: BytePath): void {
    const earlier = this.#linked.get(target);
    if (earlier !== undefined) {
      this.#linked.set(path, earlier);
      this.#writer.link(earlier, this.#landing(path));
      return;
    }
    const found = this.#below.find(target);
    if (found === undefined)
      throw malformed(`the hard link ${printablePath(path)} points to ${printablePath(target)}, which is not there`);
    if (found.status.type === DIRECTORY) throw malformed(`the hard link ${printablePath(path)} points to a directory`);
    this.#linked.set(path, found.path);
    this.#copyFrom(this.#below, found, found.path);
    this.#writer.link(found.path, this.#landing(path));
  }

  #copyFrom(view: StackView, found: Found, path: BytePath): void {
    view.inDirectory(parentOf(found.path), found.layer, (directory) => {
      this.#writer.copy(directory, nameOf(found.path), found.status, found.layer, path);
    });
  }

  /** Where an entry of the layer shows, when a directory above it lands elsewhere. */
  #landing(path: BytePath): BytePath {
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
      const landed = this.#moved.get(at);
      if (landed !== undefined) return join(landed, path.slice(at.length + 1));
    }
    return path;
  }

  #isMoved(path: BytePath): boolean {
    return this.#moved.has(path) || this.#landing(path) !== path;
  }

  #looksAlike(below: Found, own: Found): boolean {
    const hasXattrs = this.#below.inDirectory(
      below.path,
      below.layer,
      (directory) => directory.xattrs('').list().length > 0,
    );
    return !hasXattrs && sameStatus(below.status, own.status);
  }
}

function sameStatus(a: FileStatus, b: FileStatus): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && sameTime(a.modified, b.modified);
}

function sameTime(a: FileTime, b: FileTime): boolean {
  return a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;
}
