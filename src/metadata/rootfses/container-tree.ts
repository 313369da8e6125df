/**
 * The tree of containers, read off their ids: `a/b/c` lies below `a/b`, which lies below `a`. None of them needs to be
 * recorded for the others to be.
 */

/** Nearest first: `a/b` and `a` for `a/b/c`; none for `a`. */
export function ancestors(containerId: string): string[] {
  const above: string[] = [];
  for (let slash = containerId.lastIndexOf('/'); slash > 0; slash = containerId.lastIndexOf('/', slash - 1)) {
    above.push(containerId.slice(0, slash));
  }
  return above;
}

/**
 * The ids below a container are those from `first` up to but not including `end`, in byte order: `0` follows `/`.
 * Ids such as `a-b` sort between `a` and `a/`, so the container itself is not in one range with what is below it.
 */
export function rangeBelow(containerId: string): { readonly first: string; readonly end: string } {
  return { first: `${containerId}/`, end: `${containerId}0` };
}

/** True for the container itself and for everything below it. */
export function isInTree(containerId: string, top: string): boolean {
  return containerId === top || containerId.startsWith(`${top}/`);
}
