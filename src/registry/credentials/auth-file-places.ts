import { statSync } from 'node:fs';
import { join } from 'node:path';
import { directoryFrom, homeDirectory } from '../../base/config.js';
import { systemCode } from '../../base/errors.js';
import { badSetting } from '../registry-errors.js';

/** Where podman keeps its files, below several others. */
const PODMAN_DIRECTORY = 'containers';
const PODMAN_FILE = 'auth.json';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Who asks, and where the system keeps what lasts until it is shut down. */
export interface AuthFileUser {
  readonly environment: Environment;
  /** Default: of this process; undefined where the system has no such numbers. */
  readonly uid?: number | undefined;
  /** Default: `/run`. */
  readonly run?: string | undefined;
}

/** The one file that counts, where the user names one; then no other is looked at. */
export function namedAuthFile(own: string | undefined, environment: Environment): string | undefined {
  return own ?? (environment['REGISTRY_AUTH_FILE'] || undefined);
}

/**
 * The files that are looked at, the first that knows a registry wins: podman's of this session, podman's of the user, Docker's. Without
 * `$XDG_RUNTIME_DIR`, podman's of the session are those of root and skopeo (`/run/containers`), and of users (`/run/user`).
 * @see containers-auth.json(5); docker(1), "Configuration files"
 */
export function authFilePlaces(user: AuthFileUser): string[] {
  const { environment } = user;
  const runtime = directoryFrom(environment, 'XDG_RUNTIME_DIR');
  const session = runtime === undefined ? sessionsOf(user) : [join(runtime, PODMAN_DIRECTORY)];
  const config = configDirectory(environment);
  const home = homeDirectory(environment);
  // Docker takes a relative one, for what it is worth.
  const docker = environment['DOCKER_CONFIG'] || (home && join(home, '.docker'));
  return [
    ...session.map((directory) => join(directory, PODMAN_FILE)),
    ...(config === undefined ? [] : [join(config, PODMAN_DIRECTORY, PODMAN_FILE)]),
    ...(docker ? [join(docker, 'config.json')] : []),
  ];
}

/**
 * The file that a login is written to, one of those above and where podman writes: of this session, so that a password does not outlive it; of the user where there is none for a
 * session.
 * @param own named by the call
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG`
 */
export function writtenAuthFile(own: string | undefined, user: AuthFileUser): string {
  const { environment, uid = process.getuid?.(), run = '/run' } = user;
  const named = namedAuthFile(own, environment);
  if (named !== undefined) return named;
  const runtime = directoryFrom(environment, 'XDG_RUNTIME_DIR');
  if (runtime !== undefined) {
    if (ownerOf(runtime) !== undefined) return join(runtime, PODMAN_DIRECTORY, PODMAN_FILE);
    throw badSetting(
      `XDG_RUNTIME_DIR names ${runtime}, which is not there`,
      'make the directory, unset the variable, or name the file with --authfile',
      { path: runtime },
    );
  }
  if (uid === 0) return join(run, PODMAN_DIRECTORY, '0', PODMAN_FILE);
  const session = join(run, 'user', String(uid));
  if (uid !== undefined && ownerOf(session) === uid) return join(session, PODMAN_DIRECTORY, PODMAN_FILE);
  const config = configDirectory(environment);
  if (config !== undefined) return join(config, PODMAN_DIRECTORY, PODMAN_FILE);
  throw badSetting(
    'there is no place for a login: neither XDG_RUNTIME_DIR nor a home directory is known',
    'name the file with --authfile or REGISTRY_AUTH_FILE',
    {},
  );
}

function sessionsOf({ uid = process.getuid?.(), run = '/run' }: AuthFileUser): string[] {
  if (uid === undefined) return [];
  return [join(run, PODMAN_DIRECTORY, String(uid)), join(run, 'user', String(uid), PODMAN_DIRECTORY)];
}

function configDirectory(environment: Environment): string | undefined {
  const home = homeDirectory(environment);
  return directoryFrom(environment, 'XDG_CONFIG_HOME') ?? (home && join(home, '.config'));
}

/** Undefined where nothing is. */
function ownerOf(directory: string): number | undefined {
  try {
    return statSync(directory).uid;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    // It is there, and what is to be written into it will say what is the matter.
    return -1;
  }
}
