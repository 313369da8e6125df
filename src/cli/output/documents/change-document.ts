/** What `tag` did, in `--json`; `docs/cli.md` promises this shape, and those below. */
export function tagDocument(image: string, name: string) {
  return { image, name };
}

/** What `rmi` did with one of its arguments. @param image as it was given */
export function removalDocument(image: string, removed: readonly string[]) {
  return { image, removed };
}

/** What `pin` or `unpin` did with one image. */
export function pinDocument(id: string, pinned: boolean) {
  return { id, pinned };
}
