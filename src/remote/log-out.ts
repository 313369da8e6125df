import { absolutePath } from '../base/working-directory.js';
import { type AuthDocument, withoutEntries } from '../registry/credentials/auth-entries.js';
import { type AuthFile, helperFor, helperKey, isKeyOfScope, writtenKey } from '../registry/credentials/auth-file.js';
import { writtenAuthFile } from '../registry/credentials/auth-file-places.js';
import { eraseFromCredentialHelper } from '../registry/credentials/credential-helper.js';
import { editAuthFile, readAuthDocument } from '../registry/credentials/edit-auth-file.js';
import { parseRegistryScope } from '../registry/credentials/registry-scope.js';
import { filesThatKnow } from './find-login.js';
import type { LoginFileOptions } from './remote-options.js';

/** What a logout has come to. */
export interface LoggedOut {
  /** What the credentials were for, as `login` writes it. */
  readonly key: string;
  /** Where they were looked for. */
  readonly file: string;
  /** False when there were none. */
  readonly removed: boolean;
  /** Files that still have some for it, which a pull finds: Docker's, perhaps. */
  readonly elsewhere: readonly string[];
}

/** @throws as `logout` */
export async function logOut(registry: string, { authFile, signal }: LoginFileOptions): Promise<LoggedOut> {
  const scope = parseRegistryScope(registry);
  const file = absolutePath(writtenAuthFile(authFile, { environment: process.env }));
  // A helper knows whole registries alone.
  const helper =
    scope.repository === '' ? helperFor((await readAuthDocument(file)) as AuthFile, scope.registry) : undefined;
  const forgotten =
    helper !== undefined && (await eraseFromCredentialHelper(helper, helperKey(scope.registry), signal));
  const removed = await removeEntries(file, signal, (key) => isKeyOfScope(key, scope));
  const elsewhere = await filesThatKnow(scope, { authFile, signal });
  return { key: writtenKey(scope), file, removed: forgotten || removed.length > 0, elsewhere };
}

/** @throws as `logoutAll` */
export async function logOutOfAll({ authFile, signal }: LoginFileOptions) {
  const file = absolutePath(writtenAuthFile(authFile, { environment: process.env }));
  const document = (await readAuthDocument(file)) as AuthFile;
  const forgotten: string[] = [];
  for (const [key, helper] of helpersOf(document)) {
    if (await eraseFromCredentialHelper(helper, key, signal)) forgotten.push(key);
  }
  const removed = await removeEntries(file, signal, () => true);
  return { file, removed: [...new Set([...forgotten, ...removed])] };
}

/** Registries of which a helper has the credentials, as far as the file tells; which one. */
function helpersOf({ auths, credHelpers, credsStore }: AuthFile): Map<string, string> {
  const helpers = new Map<string, string>();
  // Docker notes with an empty entry what the helper for all registries has.
  if (credsStore) for (const key of Object.keys(auths ?? {})) helpers.set(key, credsStore);
  for (const [key, helper] of Object.entries(credHelpers ?? {})) {
    if (helper) helpers.set(helperKey(key), helper);
    else if (helper === '') helpers.delete(key);
  }
  return helpers;
}

/** A file that is not there is not made for that. @returns the keys that are gone */
async function removeEntries(
  file: string,
  signal: AbortSignal | undefined,
  isChosen: (key: string) => boolean,
): Promise<readonly string[]> {
  const take = (document: AuthDocument) => withoutEntries(document, isChosen);
  if (take(await readAuthDocument(file)).removed.length === 0) return [];
  let taken: readonly string[] = [];
  await editAuthFile(file, signal, (document) => {
    const changed = take(document);
    taken = changed.removed;
    return taken.length === 0 ? undefined : changed.document;
  });
  return taken;
}
