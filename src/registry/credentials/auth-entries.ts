import { isKeyOfScope, writtenKey } from './auth-file.js';
import type { RegistryScope } from './registry-scope.js';

/** All that stands in an auth file, as it was parsed: what we do not understand, too. */
export type AuthDocument = Readonly<Record<string, unknown>>;

/**
 * Puts an entry into `auths`, in place of those of the same registry, or part of one, under whichever spelling: a password that is not the last one would
 * else be found first by some.
 * @param entry as it stands in the file; empty where a helper has the credentials, as Docker notes that
 */
export function withEntry(document: AuthDocument, scope: RegistryScope, entry: AuthDocument): AuthDocument {
  const others = Object.entries(authsOf(document)).filter(([key]) => !isKeyOfScope(key, scope));
  return { ...document, auths: Object.fromEntries([...others, [writtenKey(scope), entry]]) };
}

/** Takes the entries of `auths` away whose keys are chosen, and `auths` itself stays. @returns the document, and the keys taken from it */
export function withoutEntries(
  document: AuthDocument,
  isChosen: (key: string) => boolean,
): { readonly document: AuthDocument; readonly removed: readonly string[] } {
  const entries = Object.entries(authsOf(document));
  const kept = entries.filter(([key]) => !isChosen(key));
  const removed = entries.filter(([key]) => isChosen(key)).map(([key]) => key);
  return { document: { ...document, auths: Object.fromEntries(kept) }, removed };
}

/** A name and a password, as files have them. */
export function passwordEntry({ username, password }: { readonly username: string; readonly password: string }) {
  return { auth: Buffer.from(`${username}:${password}`).toString('base64') };
}

function authsOf({ auths }: AuthDocument): Readonly<Record<string, unknown>> {
  return (auths ?? {}) as Readonly<Record<string, unknown>>;
}
