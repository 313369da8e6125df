/** The first 12 hex digits of a digest: enough to tell images apart, and accepted wherever an image is named. */
export function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1).slice(0, 12);
}
