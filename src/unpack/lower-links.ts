import type { BytePath } from '../system/syscalls/byte-path.js';
import { parentOf } from './entry-path.js';
import type { LayerDirectories, LayerDirectory } from './layer-directories.js';
import type { LowerLink } from './stacking.js';
import type { UnpackBudget } from './unpack-budget.js';

interface PendingLink {
  readonly target: BytePath;
  /** The directory it stands in. Gone with that, also when another one takes its name. */
  readonly directory: LayerDirectory;
}

/** Hard links to files of lower layers, which nothing on disk stands for until the image is put together. */
export class LowerLinks {
  readonly #directories: LayerDirectories;
  readonly #budget: UnpackBudget;
  readonly #links = new Map<BytePath, PendingLink>();

  constructor(directories: LayerDirectories, budget: UnpackBudget) {
    this.#directories = directories;
    this.#budget = budget;
  }

  targetOf(path: BytePath): BytePath | undefined {
    return this.#links.get(path)?.target;
  }

  add(path: BytePath, target: BytePath): void {
    const directory = this.#directories.get(parentOf(path));
    if (directory === undefined) return;
    this.#budget.keep(path.length + target.length);
    this.#links.set(path, { target, directory });
  }

  /** Another entry has taken its place. */
  remove(path: BytePath): void {
    if (this.#links.size > 0) this.#links.delete(path);
  }

  /** Those that no later entry has replaced, or removed with a directory above them. */
  remaining(): LowerLink[] {
    const links: LowerLink[] = [];
    for (const [path, { target, directory }] of this.#links) {
      if (this.#directories.get(parentOf(path)) === directory) links.push({ path, target });
    }
    return links;
  }
}
