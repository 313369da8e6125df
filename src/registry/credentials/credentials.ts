import { join } from 'node:path';
import { directoryFrom, homeDirectory } from '../../base/config.js';
import { fileError, systemCode, throwIfAborted } from '../../base/errors.js';
import { readForeignText } from '../../base/foreign-file.js';
import type { Credentials } from '../endpoint.js';
import { badSetting } from '../registry-errors.js';
import { type AuthFile, helperFor, helperKey, parseAuthFile, storedCredentials } from './auth-file.js';
import { askCredentialHelper } from './credential-helper.js';

/** Milliseconds. */
const PIPE_PATIENCE = 30_000;

/** Where podman keeps its files, below several others. */
const PODMAN_DIRECTORY = 'containers';

/**
 * Finds out who we are to a registry. Files are read anew by each instance, so that a login counts from the next pull on, and each helper is
 * asked once.
 */
export class CredentialLookup {
  readonly #authFile: string | undefined;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #signal: AbortSignal | undefined;
  readonly #files = new Map<string, Promise<AuthFile | undefined>>();

  /** @param authFile instead of the usual places */
  constructor(
    authFile: string | undefined,
    environment: Readonly<Record<string, string | undefined>>,
    signal: AbortSignal | undefined,
  ) {
    this.#authFile = authFile;
    this.#environment = environment;
    this.#signal = signal;
  }

  /**
   * @param registry host and port @param repository below it
   * @throws ProvisionerError `ERR_REGISTRY_CONFIG`
   */
  async find(registry: string, repository: string): Promise<Credentials | undefined> {
    for (const { path, required } of this.#places()) {
      const file = await this.#read(path, required);
      if (file === undefined) continue;
      const helper = helperFor(file, registry);
      const found =
        (helper === undefined ? undefined : await askCredentialHelper(helper, helperKey(registry), this.#signal)) ??
        storedCredentials(file, registry, repository, path);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** @see containers-auth.json(5); docker(1), "Configuration files" */
  #places(): readonly { readonly path: string; readonly required: boolean }[] {
    const env = this.#environment;
    const own = this.#authFile ?? (env['REGISTRY_AUTH_FILE'] || undefined);
    if (own !== undefined) return [{ path: own, required: true }];
    const home = homeDirectory(env);
    const inHome = (name: string) => home && join(home, name);
    const [runtime, config] = [
      directoryFrom(env, 'XDG_RUNTIME_DIR'),
      directoryFrom(env, 'XDG_CONFIG_HOME') ?? inHome('.config'),
    ];
    // Docker takes a relative one, for what it is worth.
    const docker = env['DOCKER_CONFIG'] || inHome('.docker');
    const places = [
      runtime && join(runtime, PODMAN_DIRECTORY, 'auth.json'),
      config && join(config, PODMAN_DIRECTORY, 'auth.json'),
      docker && join(docker, 'config.json'),
    ];
    return places.flatMap((path) => (path ? [{ path, required: false }] : []));
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
  return signal === undefined ? patience : AbortSignal.any([signal, patience]);
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
