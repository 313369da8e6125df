import { rmdirSync } from 'node:fs';
import type { UnpackLimits } from '../base/config.js';
import { ProvisionerError } from '../base/errors.js';
import { malformed } from '../base/malformed.js';
import { makeOwnDirectory } from '../base/own-files.js';
import { writeContents } from '../files/contents/write-contents.js';
import { SpaceWatch } from '../files/space/space-watch.js';
import { isWhiteout, statusOf } from '../files/tree/merged-directory.js';
import { type MarkNames, markNames, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import { layerRootfs } from '../paths.js';
import { type BytePath, printablePath } from '../system/syscalls/byte-path.js';
import type { FileTime } from '../system/syscalls/syscalls.js';
import {
  DIRECTORY,
  type FileStatus,
  type OpenDirectory,
  SYMLINK,
  type TreeCalls,
} from '../system/syscalls/tree-calls.js';
import { join, nameOf, parentOf } from '../unpack/entry-path.js';
import { explainFailure } from '../unpack/explain-failure.js';
import { NO_STACKING, readStacking, type Stacking } from '../unpack/stacking.js';
import { UnpackBudget } from '../unpack/unpack-budget.js';
import { collectLinks, type LayerLinks, type LinkedFile, type LinkingLayer } from './collect-links.js';
import { FileNames } from './file-names.js';
import { SeamWriter, type SeamWriterOptions } from './seam-writer.js';
import { type Found, hidesBelow, StackView } from './stack-view.js';
import { writeLinks } from './write-links.js';

export interface SeamRequest {
  /** The directories of layers and seams that the seam lies on, bottom first, beginning with the topmost that hides all below it. */
  readonly stack: readonly string[];
  /** Correct the directories of the topmost, which is a layer. */
  readonly directories: boolean;
  /** The layers whose hard links the seam makes, bottom first. */
  readonly linking: readonly LinkingLayer[];
  /** An empty directory that becomes the seam's. */
  readonly target: string;
  readonly whiteouts: WhiteoutFormat;
  readonly privileged: boolean;
  /** It may have as much as a layer. */
  readonly limits: UnpackLimits;
}

export interface MadeSeam {
  /** 0 when none is needed here; then nothing is in the target. */
  readonly entries: number;
  readonly whiteouts: boolean;
  /** Disk use of its directory in bytes, as `du` counts it. */
  readonly bytes: number;
}

/**
 * Makes a seam: a small layer that goes right above a layer and corrects what the archives leave to the layers below.
 *
 * | an archive                                              | a seam                                                         |
 * |---------------------------------------------------------|----------------------------------------------------------------|
 * | implies a directory that is below                       | has the directory with the attributes from below               |
 * | implies a directory where a symlink to one is below     | has the symlink again, and the entries where it points         |
 * | hides entries of a directory that no layer below has    | has the directory, so that overlay merges it and hides marks   |
 * | links to a file below                                   | has the file and the link, and the other names that it has     |
 *
 * Each layer has a seam of its own for its directories. The links of all layers are in one seam, above the topmost layer that has any: a file that many
 * layers link to is there once. A seam depends on the layers up to where it lies and on nothing above, so images that share those share it.
 * @param isCancelled asked often
 * @throws ProvisionerError `ERR_LAYER_MALFORMED`, `ERR_LIMIT_EXCEEDED`, `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO`, `ERR_ABORTED`; then whoever calls
 * removes the target
 * @see OCI image-spec, layer.md, "Applying Changesets"
 */
export async function makeSeam(
  request: SeamRequest,
  calls: TreeCalls,
  isCancelled: () => boolean = () => false,
): Promise<MadeSeam> {
  const rootfs = layerRootfs(request.target);
  try {
    return await makeIn(rootfs, request, calls, () => {
      if (isCancelled()) throw new ProvisionerError('ERR_ABORTED', 'the seam was cancelled');
    });
  } catch (error) {
    throw explainFailure(error, 'make a seam', rootfs);
  }
}

async function makeIn(rootfs: string, request: SeamRequest, calls: TreeCalls, pause: () => void): Promise<MadeSeam> {
  const { stack, directories, linking, target, whiteouts, privileged, limits } = request;
  const top = stack.at(-1);
  const stacking = directories && top !== undefined ? await readStacking(top) : NO_STACKING;
  const links: LayerLinks[] = [];
  for (const layer of linking) {
    links.push({ ...layer, links: (await readStacking(stack[layer.layer] ?? '')).lowerLinks });
  }
  makeOwnDirectory(rootfs);
  const budget = new UnpackBudget(limits);
  const step = (bytes: number): void => {
    pause();
    budget.step(bytes);
  };
  const whole = StackView.open(calls, stack.map(layerRootfs), { whiteouts, step, keep: (bytes) => budget.keep(bytes) });
  try {
    const space = new SpaceWatch(rootfs, limits.freeSpaceReserve);
    const names = new FileNames(stack, { pause, keep: (bytes) => budget.keep(bytes) });
    const seam = new Seam(whole, names, stack.length, stacking, calls, rootfs, {
      whiteouts,
      privileged,
      budget,
      space,
      pause,
    });
    try {
      const made = seam.make(links, directories);
      if (made.entries === 0) rmdirSync(rootfs);
      return { ...made, bytes: made.entries === 0 ? 0 : writeContents(target, calls, undefined, pause) };
    } finally {
      seam.close();
    }
  } finally {
    whole.close();
  }
}

/** The layer's index in its own view. */
const OWN = 0;

class Seam {
  readonly #whole: StackView;
  readonly #names: FileNames;
  readonly #size: number;
  readonly #below: StackView;
  readonly #own: StackView;
  readonly #stacking: Stacking;
  readonly #options: SeamWriterOptions;
  readonly #writer: SeamWriter;
  readonly #implied: ReadonlySet<BytePath>;
  /** Implied directories whose entries land elsewhere, and where. */
  readonly #moved = new Map<BytePath, BytePath>();
  /** Files with several names of which the seam has a copy, by what they are, with the copy's place. */
  readonly #copies = new Map<string, LinkedFile & { readonly copy: BytePath }>();

  constructor(
    whole: StackView,
    names: FileNames,
    size: number,
    stacking: Stacking,
    calls: TreeCalls,
    rootfs: string,
    options: SeamWriterOptions,
  ) {
    this.#whole = whole;
    this.#names = names;
    this.#size = size;
    this.#below = whole.slice(0, size - 1);
    this.#own = whole.slice(size - 1, size);
    this.#stacking = stacking;
    this.#options = options;
    this.#implied = new Set(stacking.implied);
    this.#writer = new SeamWriter(calls, rootfs, options, (path) => this.#appearance(path));
  }

  make(links: readonly LayerLinks[], directories: boolean): Omit<MadeSeam, 'bytes'> {
    for (const path of this.#stacking.implied) if (path !== '' && !this.#isMoved(path)) this.#impliedDirectory(path);
    for (const path of this.#stacking.whiteoutDirectories) {
      if (path === '' || this.#isMoved(path)) continue;
      if (this.#below.find(path)?.status.type !== DIRECTORY) this.#writer.directory(path);
    }
    this.#linkCopies();
    // The layer's own seam is not there yet where both are made at once.
    const landing = directories ? (path: BytePath) => this.#landing(path) : undefined;
    writeLinks(collectLinks(this.#whole, this.#size, links, landing), this.#whole, this.#writer, (file) =>
      this.#ownNames(file),
    );
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

  /** Copies the entries of the layer's directory `from` to where they land in the rootfs, with all that is in them. */
  #moveEntries(from: BytePath, to: BytePath): void {
    const { whiteouts, budget } = this.#options;
    const marks = markNames(whiteouts);
    const waiting: Move[] = [{ from, to }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const move = next;
      this.#own.inDirectory(move.from, OWN, (directory) => {
        for (const name of namesIn(directory)) {
          const status = statusOf(directory, name);
          if (status === undefined) continue;
          const target = join(move.to, name);
          if (isWhiteout(status, whiteouts)) this.#writer.whiteout(target);
          else if (marks !== undefined && name.startsWith(marks.prefix)) this.#moveMark(move.to, name, marks);
          else if (status.type === DIRECTORY) {
            budget.keep(2 * target.length);
            waiting.push(this.#moveDirectory(directory, join(move.from, name), target));
          } else if (this.#writer.copy(directory, name, status, this.#size - 1, target))
            this.#noteCopy({ path: join(move.from, name), status, layer: this.#size - 1 }, target);
        }
      });
    }
  }

  /** @returns where its entries go */
  #moveDirectory(parent: OpenDirectory, from: BytePath, to: BytePath): Move {
    const below = this.#below.find(to);
    if (this.#implied.has(from) && below?.status.type === SYMLINK) {
      const pointsTo = this.#below.find(to, true);
      if (pointsTo?.status.type === DIRECTORY) return { from, to: pointsTo.path };
    }
    const keepsLook = this.#implied.has(from) && below?.status.type === DIRECTORY;
    const source = keepsLook
      ? { view: this.#below, layer: below.layer, path: below.path }
      : { view: this.#own, layer: OWN, path: from };
    this.#writer.directory(to, source, hidesBelow(parent, nameOf(from), this.#options.whiteouts));
    return { from, to };
  }

  #moveMark(to: BytePath, mark: BytePath, { prefix, opaque }: MarkNames): void {
    // An opaque directory is marked by whoever makes it.
    if (mark !== opaque) this.#writer.whiteout(join(to, mark.slice(prefix.length)));
  }

  #copyFrom(view: StackView, found: Found, path: BytePath): void {
    view.inDirectory(parentOf(found.path), found.layer, (directory) => {
      if (this.#writer.copy(directory, nameOf(found.path), found.status, found.layer, path))
        this.#noteCopy(found, path);
    });
  }

  #noteCopy(file: LinkedFile, copy: BytePath): void {
    if (file.status.links === 1) return;
    const key = `${file.layer}:${file.status.identity}`;
    if (this.#copies.has(key)) return;
    this.#options.budget.keep(copy.length);
    this.#copies.set(key, { ...file, copy });
  }

  /** What is a file of several names stays one: those that do not land elsewhere become names of the copy, too. */
  #linkCopies(): void {
    for (const { copy, ...file } of this.#copies.values()) {
      for (const name of this.#ownNames(file)) this.#writer.link(copy, name);
    }
  }

  /** The names that a file has in its own layer, as far as the stack shows it there. */
  #ownNames({ layer, path, status }: LinkedFile): BytePath[] {
    const names = status.links === 1 ? [path] : this.#names.of(layer, path);
    return names.filter((name) => {
      if (this.#isMoved(name)) return false;
      const found = this.#whole.find(name);
      return found?.path === name && found.layer === layer;
    });
  }

  /** Where an entry of the layer shows, when a directory above it lands elsewhere. */
  #landing(path: BytePath): BytePath {
    if (this.#moved.size === 0) return path;
    this.#options.budget.step(path.length);
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
      const landed = this.#moved.get(at);
      this.#options.budget.step(0);
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

/** From a directory of the layer to one of the seam. */
interface Move {
  readonly from: BytePath;
  readonly to: BytePath;
}

function* namesIn(directory: OpenDirectory): Generator<BytePath, void, undefined> {
  const cursor = directory.cursor();
  try {
    while (cursor.next()) yield cursor.name;
  } finally {
    cursor.close();
  }
}

function sameStatus(a: FileStatus, b: FileStatus): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && sameTime(a.modified, b.modified);
}

function sameTime(a: FileTime, b: FileTime): boolean {
  return a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;
}
