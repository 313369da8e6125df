import { machineError } from '../base/errors.js';
import { checkArgument, text } from '../base/options/check-options.js';
import { takeOptions } from '../base/options/take-options.js';
import type { UserCredentials } from '../registry/registry-options.js';
import type { LoggedIn } from './log-in.js';
import type { LoggedOut } from './log-out.js';
import type { RemoteImage } from './look-at-image.js';
import * as o from './remote-options.js';
import type { RepositoryTags } from './tags-of.js';

/*
 * What needs no store, and opens none: logins to registries, and looks at what they, layouts and archives have. Each call stands for itself. What does the work is loaded with
 * the first one, so that who never calls them pays nothing.
 */

/**
 * Shows a registry a name and a password, and keeps them where pulls, podman and skopeo find them again, as it takes them. Nothing is written before, and nothing when it refuses them.
 * @param registry such as `docker.io`, `registry.example:5000`, or a part of it: `registry.example/team`
 * @throws `ERR_REGISTRY_UNAUTHORIZED` and what else a pull from it throws; `ERR_REGISTRY_CONFIG` for a file that is damaged, and a helper that does not keep them; `ERR_BAD_REFERENCE`,
 * `ERR_PERMISSION`, `ERR_NO_SPACE`, `ERR_READ_ONLY`, `ERR_IO`, `ERR_ABORTED`. The password is in none of them
 */
export async function login(
  registry: string,
  credentials: UserCredentials,
  options: o.LoginOptions = {},
): Promise<LoggedIn> {
  return working(async () => {
    checkArgument('login', 'registry', text, registry);
    checkArgument('login', 'credentials', o.CREDENTIALS, credentials);
    const own = takeOptions('login', o.LOGIN_OPTIONS, options);
    const { logIn } = await import('./log-in.js');
    return logIn(registry, credentials, own);
  });
}

/**
 * Takes what a login has left for a registry, or that part of it, out of the file where `login` would put it, or has the helper that the file names forget it.
 * @returns with `removed` false when there was nothing
 * @throws as `login`, but for what a registry answers: none is asked
 */
export async function logout(registry: string, options: o.LoginFileOptions = {}): Promise<LoggedOut> {
  return working(async () => {
    checkArgument('logout', 'registry', text, registry);
    const own = takeOptions('logout', o.LOGIN_FILE_OPTIONS, options);
    const { logOut } = await import('./log-out.js');
    return logOut(registry, own);
  });
}

/** As `logout`, for all registries that the file knows. @returns its keys that are gone */
export async function logoutAll(
  options: o.LoginFileOptions = {},
): Promise<{ readonly file: string; readonly removed: readonly string[] }> {
  return working(async () => {
    const own = takeOptions('logoutAll', o.LOGIN_FILE_OPTIONS, options);
    const { logOutOfAll } = await import('./log-out.js');
    return logOutOfAll(own);
  });
}

/**
 * Who pulls say they are to a registry, or that part of it, wherever that is kept. No registry is asked.
 * @returns the user's name, `<token>` where a token is all there is, undefined where nothing is known
 * @throws `ERR_REGISTRY_CONFIG`, `ERR_BAD_REFERENCE`
 */
export async function loggedInAs(registry: string, options: o.LoginFileOptions = {}): Promise<string | undefined> {
  return working(async () => {
    checkArgument('loggedInAs', 'registry', text, registry);
    const own = takeOptions('loggedInAs', o.LOGIN_FILE_OPTIONS, options);
    const { findLogin } = await import('./find-login.js');
    return findLogin(registry, own);
  });
}

/**
 * The tags of a repository, each once and in the order of the registry, or of the first of its mirrors that is trusted with tags and has it.
 * @param repository such as `app`, `registry.example/team/app`; without a tag or a digest
 * @throws `ERR_SOURCE_NOT_FOUND`, `ERR_BAD_REFERENCE`, `ERR_SOURCE_UNSUPPORTED`, `ERR_LIMIT_EXCEEDED`, `ERR_REGISTRY_…`, `ERR_ABORTED`
 */
export async function listTags(repository: string, options: o.ListTagsOptions = {}): Promise<RepositoryTags> {
  return working(async () => {
    checkArgument('listTags', 'repository', text, repository);
    const own = takeOptions('listTags', o.LIST_TAGS_OPTIONS, options);
    const { tagsOf } = await import('./tags-of.js');
    return tagsOf(repository, own);
  });
}

/**
 * What a source has for a platform, without pulling it: its documents are read and checked as for a pull, and no layer is.
 * @param source as for a pull: `app:v1`, `docker://registry.example/app:v1`, `oci:DIR`, `docker-archive:FILE`
 * @throws what a pull throws before it reads a layer
 */
export async function inspectRemote(source: string, options: o.InspectRemoteOptions = {}): Promise<RemoteImage> {
  return working(async () => {
    checkArgument('inspectRemote', 'source', text, source);
    const own = takeOptions('inspectRemote', o.INSPECT_REMOTE_OPTIONS, options);
    const { lookAtImage } = await import('./look-at-image.js');
    return lookAtImage(source, own);
  });
}

/** What the machine is short of is told as such. */
async function working<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw machineError(error, 'do what was asked');
  }
}
