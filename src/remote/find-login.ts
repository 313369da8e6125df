import { stat } from 'node:fs/promises';
import { namedAuthFile } from '../registry/credentials/auth-file-places.js';
import { CredentialLookup } from '../registry/credentials/credentials.js';
import { parseRegistryScope, type RegistryScope } from '../registry/credentials/registry-scope.js';
import type { Credentials } from '../registry/endpoint.js';
import type { LoginFileOptions } from './remote-options.js';

/** @throws as `loggedInAs` */
export async function findLogin(registry: string, options: LoginFileOptions): Promise<string | undefined> {
  const scope = parseRegistryScope(registry);
  if (!(await hasFiles(options))) return undefined;
  const found = await lookup(options).find(scope.registry, scope.repository);
  return found && nameOf(found);
}

/** The files in which a pull finds credentials for this, the one that counts first. */
export async function filesThatKnow(scope: RegistryScope, options: LoginFileOptions): Promise<string[]> {
  if (!(await hasFiles(options))) return [];
  const paths: string[] = [];
  for await (const { path } of lookup(options).all(scope.registry, scope.repository)) paths.push(path);
  return paths;
}

function lookup({ authFile, signal }: LoginFileOptions): CredentialLookup {
  return new CredentialLookup(authFile, process.env, signal);
}

/** A pull takes it for a mistake when the one file that counts is not there; here it only says that nobody has logged in. */
async function hasFiles({ authFile }: LoginFileOptions): Promise<boolean> {
  const named = namedAuthFile(authFile, process.env);
  if (named === undefined) return true;
  return stat(named).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
  );
}

/** As helpers have it. */
function nameOf(credentials: Credentials): string {
  return credentials.kind === 'password' ? credentials.username : '<token>';
}
