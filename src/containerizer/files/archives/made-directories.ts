import type { BytePath } from '../../../system/syscalls/byte-path.js';
import type { TarEntry } from '../../../system/tar/tar-entry.js';

/** What directories get last, since what is made in them changes it. */
export type LateAttributes = Pick<TarEntry, 'uid' | 'gid' | 'mode' | 'accessed' | 'modified'>;

/** A directory that an archive has had made. */
export interface MadeDirectory {
  /** Undefined of one that the archive only implies. */
  attributes: LateAttributes | undefined;
}

interface Branch extends MadeDirectory {
  readonly inside: Map<BytePath, Branch>;
  /** False of one that was there, on the way to one that was made. */
  isMade: boolean;
}

/** The directories that an archive has had made. By names, and not by paths: written out, those of a deep tree would be longer than all that is in it. */
export class MadeDirectories {
  readonly #top = newBranch();

  /** @param names the way to a directory @param isNew whether it was made just now @returns undefined of one that was there before */
  at(names: readonly BytePath[], isNew: boolean): MadeDirectory | undefined {
    let branch = this.#top;
    for (const name of names) {
      let next = branch.inside.get(name);
      if (next === undefined) {
        if (!isNew) return undefined;
        next = newBranch();
        branch.inside.set(name, next);
      }
      branch = next;
    }
    branch.isMade ||= isNew;
    return branch.isMade ? branch : undefined;
  }

  /** Each with the way to it, after all that are in it. */
  *all(): Generator<readonly [names: readonly BytePath[], directory: MadeDirectory]> {
    const way: {
      readonly names: readonly BytePath[];
      readonly branch: Branch;
      readonly rest: Iterator<[BytePath, Branch]>;
    }[] = [];
    const enter = (names: readonly BytePath[], branch: Branch) =>
      way.push({ names, branch, rest: branch.inside.entries() });
    enter([], this.#top);
    for (let last = way.at(-1); last !== undefined; last = way.at(-1)) {
      const next = last.rest.next();
      if (next.done !== true) {
        enter([...last.names, next.value[0]], next.value[1]);
        continue;
      }
      way.pop();
      if (last.branch.isMade) yield [last.names, last.branch];
    }
  }
}

function newBranch(): Branch {
  return { inside: new Map(), isMade: false, attributes: undefined };
}
