import type { BytePath } from '../../../system/syscalls/byte-path.js';
import type { FileStatus } from '../../../system/syscalls/tree-calls.js';

/** What a name takes beside its own bytes, about. */
const OVERHEAD = 128;

/** An entry of a tree, by its name and the directory above it: written out, the path of each file deep in a tree would be as long as all of them. */
export interface Place {
  readonly name: BytePath;
  /** Undefined at the top. */
  readonly above: Place | undefined;
  /** How many files and places below keep it. */
  keepers: number;
}

export function placeIn(above: Place | undefined, name: BytePath): Place {
  return { name, above, keepers: 0 };
}

/**
 * The names that an archive has to remember while it is made: those of the directories on its way that are still to come, and where each file of several names was first. A program in a
 * container can make any number of them.
 */
export class KeptNames {
  readonly #most: number;
  readonly #refuse: () => Error;
  /** By identity: where a file was first, and how many more of its names may come. */
  readonly #linked = new Map<string, { readonly place: Place; left: number }>();
  #bytes = 0;

  /** @param most in bytes, about @param refuse makes what is thrown when that is too little */
  constructor(most: number, refuse: () => Error) {
    this.#most = most;
    this.#refuse = refuse;
  }

  keep(name: BytePath): void {
    this.#bytes += name.length + OVERHEAD;
    if (this.#bytes > this.#most) throw this.#refuse();
  }

  release(names: readonly BytePath[]): void {
    for (const name of names) this.#bytes -= name.length + OVERHEAD;
  }

  /** @returns where a file of several names was first; undefined when that is here */
  firstOf({ identity, links }: FileStatus, place: Place): BytePath | undefined {
    const first = this.#linked.get(identity);
    if (first === undefined) {
      this.#linked.set(identity, { place, left: links - 1 });
      this.#keepPlace(place);
      return undefined;
    }
    if (--first.left === 0) {
      this.#linked.delete(identity);
      this.#releasePlace(first.place);
    }
    return pathOf(first.place);
  }

  #keepPlace(place: Place): void {
    for (let at: Place | undefined = place; at !== undefined; at = at.above) {
      if (at.keepers++ > 0) return;
      this.keep(at.name);
    }
  }

  #releasePlace(place: Place): void {
    for (let at: Place | undefined = place; at !== undefined; at = at.above) {
      if (--at.keepers > 0) return;
      this.release([at.name]);
    }
  }
}

/** The top may have no name. */
function pathOf(place: Place): BytePath {
  const names: BytePath[] = [];
  for (let at: Place | undefined = place; at !== undefined; at = at.above) if (at.name !== '') names.push(at.name);
  return names.reverse().join('/');
}
