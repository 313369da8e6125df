import { anySignal } from '../../base/any-signal.js';
import { fileError, systemCode, throwIfAborted } from '../../base/errors.js';
import { readForeignText } from '../../base/foreign-file.js';
import type { Credentials } from '../endpoint.js';
import { badSetting } from '../registry-errors.js';
import { type AuthFile, helperFor, helperKey, parseAuthFile, storedCredentials } from './auth-file.js';
import { authFilePlaces, type Environment, namedAuthFile } from './auth-file-places.js';
import { askCredentialHelper } from './credential-helper.js';

/** Milliseconds. */
const PIPE_PATIENCE = 30_000;

/** Credentials, and the file that knows them. */
export interface FoundCredentials {
  readonly credentials: Credentials;
  readonly path: string;
}

/**
 * Finds out who we are to a registry. Files are read anew by each instance, so that a login counts from the next pull on, and each helper is
 * asked once.
 */
export class CredentialLookup {
  readonly #authFile: string | undefined;
  readonly #environment: Environment;
  readonly #signal: AbortSignal | undefined;
  readonly #files = new Map<string, Promise<AuthFile | undefined>>();

  /** @param authFile instead of the usual places */
  constructor(authFile: string | undefined, environment: Environment, signal: AbortSignal | undefined) {
    this.#authFile = authFile;
    this.#environment = environment;
    this.#signal = signal;
  }

  /**
   * @param registry host and port @param repository below it
   * @throws ProvisionerError `ERR_REGISTRY_CONFIG`
   */
  async find(registry: string, repository: string): Promise<Credentials | undefined> {
    for await (const { credentials } of this.all(registry, repository)) return credentials;
    return undefined;
  }

  /** From each file that knows some, the one that counts first. @param registry, @param repository and errors as for `find` */
  async *all(registry: string, repository: string): AsyncGenerator<FoundCredentials, void, undefined> {
    for (const { path, required } of this.#places()) {
      const file = await this.#read(path, required);
      if (file === undefined) continue;
      const helper = helperFor(file, registry);
      const credentials =
        (helper === undefined ? undefined : await askCredentialHelper(helper, helperKey(registry), this.#signal)) ??
        storedCredentials(file, registry, repository, path);
      if (credentials !== undefined) yield { credentials, path };
    }
  }

  #places(): readonly { readonly path: string; readonly required: boolean }[] {
    const named = namedAuthFile(this.#authFile, this.#environment);
    if (named !== undefined) return [{ path: named, required: true }];
    return authFilePlaces({ environment: this.#environment }).map((path) => ({ path, required: false }));
  }

  #read(path: string, required: boolean): Promise<AuthFile | undefined> {
    const known = this.#files.get(path) ?? readAuthFile(path, required, this.#signal);
    this.#files.set(path, known);
    return known;
  }
}

/** Nobody writes to a pipe that takes longer. */
function waitForWriter(signal: AbortSignal | undefined): AbortSignal {
  const patience = AbortSignal.timeout(PIPE_PATIENCE);
  return signal === undefined ? patience : anySignal([signal, patience]);
}

async function readAuthFile(
  path: string,
  required: boolean,
  signal: AbortSignal | undefined,
): Promise<AuthFile | undefined> {
  let text: string;
  try {
    // A pipe that is named, such as a shell's `<(…)`, is read when somebody writes to it.
    text = await readForeignText(path, required ? waitForWriter(signal) : undefined);
  } catch (error) {
    throwIfAborted(signal);
    const code = systemCode(error);
    // A home that others may not enter is none of ours: root's, when the process has become somebody else.
    if (!required && (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES')) return undefined;
    if (code === 'ENOENT') {
      throw badSetting(`the auth file ${path} does not exist`, 'check --authfile and REGISTRY_AUTH_FILE', { path });
    }
    throw fileError(error, 'read the auth file', path);
  }
  return text.trim() === '' ? undefined : parseAuthFile(text, path);
}
