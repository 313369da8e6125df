import { ProvisionerError } from '../base/errors.js';
import { absolutePath } from '../base/working-directory.js';
import { passwordEntry, withEntry } from '../registry/credentials/auth-entries.js';
import { type AuthFile, helperFor, helperKey, writtenKey } from '../registry/credentials/auth-file.js';
import { writtenAuthFile } from '../registry/credentials/auth-file-places.js';
import { storeInCredentialHelper } from '../registry/credentials/credential-helper.js';
import { editAuthFile, readAuthDocument } from '../registry/credentials/edit-auth-file.js';
import { parseRegistryScope, type RegistryScope } from '../registry/credentials/registry-scope.js';
import { badSetting } from '../registry/registry-errors.js';
import type { UserCredentials } from '../registry/registry-options.js';
import { requireRegistryFiles } from '../registry/require-registry-files.js';
import { proveCredentials } from './prove-credentials.js';
import type { LoginOptions } from './remote-options.js';

/** What a login has come to. */
export interface LoggedIn {
  /** What the credentials are for, as it stands in the file: `https://index.docker.io/v1/`, `registry.example/team`. */
  readonly key: string;
  readonly username: string;
  /** Absolute. */
  readonly file: string;
  /** The helper that has them, as the file names it; null where they are in the file itself. */
  readonly helper: string | null;
  /** False where the registry has asked for no credentials: it takes whatever they are. */
  readonly verified: boolean;
}

/** @throws as `login` */
export async function logIn(
  registry: string,
  credentials: UserCredentials,
  { authFile, registry: reached = {}, signal }: LoginOptions,
): Promise<LoggedIn> {
  const scope = parseRegistryScope(registry);
  checkCredentials(credentials);
  const { certDir, hostsDir } = reached;
  await requireRegistryFiles({ certDir, hostsDir });
  const file = absolutePath(writtenAuthFile(authFile, { environment: process.env }));
  // A file that cannot be written to is told before a password goes anywhere.
  const helper = helperIn((await readAuthDocument(file)) as AuthFile, scope, file);
  const verified = await proveCredentials(scope.registry, credentials, reached, signal);
  if (helper !== undefined) {
    await storeInCredentialHelper(helper, helperKey(scope.registry), credentials, signal);
  }
  const entry = helper === undefined ? passwordEntry(credentials) : {};
  await editAuthFile(file, signal, (document) => withEntry(document, scope, entry));
  return { key: writtenKey(scope), username: credentials.username, file, helper: helper ?? null, verified };
}

/** @throws ProvisionerError `ERR_REGISTRY_CONFIG` for a part of a registry, which helpers do not know */
function helperIn(document: AuthFile, scope: RegistryScope, path: string): string | undefined {
  const helper = helperFor(document, scope.registry);
  if (helper === undefined || scope.repository === '') return helper;
  throw badSetting(
    `docker-credential-${helper}, which ${path} names, keeps credentials of whole registries alone, and not of ${writtenKey(scope)}`,
    `log in to ${scope.registry}, or write to a file without a helper for it: --authfile FILE`,
    { path, registry: scope.registry },
  );
}

/** What cannot be told to a registry, whatever it expects. @see RFC 7617, section 2 */
function checkCredentials({ username, password }: UserCredentials): void {
  const problem =
    username === ''
      ? 'the name is empty'
      : username.includes(':')
        ? 'the name has a colon in it'
        : password === ''
          ? 'the password is empty'
          : /\p{Cc}/u.test(username + password)
            ? 'a name or a password of more than one line, or with another control character, cannot be sent'
            : undefined;
  if (problem === undefined) return;
  throw new ProvisionerError('ERR_BAD_OPTION', `these are no credentials: ${problem}`, {
    hint: 'check what comes from standard input, and what variables of a script hold',
  });
}
