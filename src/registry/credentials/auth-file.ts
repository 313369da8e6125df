import * as v from 'valibot';
import { checkDocument, describeFault, objectOf, recordOf } from '../../base/check-document.js';
import type { Credentials } from '../endpoint.js';
import { badSetting } from '../registry-errors.js';
import type { RegistryScope } from './registry-scope.js';

/** Programs in Go write `null` for what is not there. */
const text = v.nullish(v.string());
const entrySchema = objectOf({
  auth: text,
  username: text,
  password: text,
  identitytoken: text,
  registrytoken: text,
});

const fileSchema = objectOf({
  auths: v.nullish(recordOf(v.nullable(entrySchema))),
  credHelpers: v.nullish(recordOf(v.nullable(v.string()))),
  credsStore: v.nullish(v.string()),
});

/** Of a file, as they are written. */
export const AUTH_FILE_KEYS = ['auths', 'credHelpers', 'credsStore'] as const satisfies readonly (keyof AuthFile)[];

/** What a `config.json` of Docker or an `auth.json` of podman says. @see docker login, "Credential stores"; containers-auth.json(5) */
export type AuthFile = v.InferOutput<typeof fileSchema>;

/** What Docker Hub is called in such files, by whom ever wrote them. */
const DOCKER_HUB = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';

/** @throws ProvisionerError `ERR_REGISTRY_CONFIG`; the message quotes nothing of the file */
export function parseAuthFile(text: string, path: string): AuthFile {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // The parser's error quotes the text, and with it a password: it is left out even as a cause.
    throw malformed(path, 'it is not JSON');
  }
  const checked = checkDocument(fileSchema, document);
  if (checked.sound) return checked.value;
  throw malformed(path, describeFault(checked.faults[0]));
}

/**
 * The key under which credentials are written. Docker Hub's is the only one that Docker reads, and podman and skopeo read it too; a part of a registry is podman's alone.
 */
export function writtenKey({ registry, repository }: RegistryScope): string {
  return repository === '' ? helperKey(registry) : `${registry}/${repository}`;
}

/** Whether a key of `auths` is some spelling of just this, neither of what is above nor of what is below it. */
export function isKeyOfScope(key: string, { registry, repository }: RegistryScope): boolean {
  if (repository === '') return isKeyOf(key, registry);
  return namesOf(registry).some((name) => key === `${name}/${repository}`);
}

/** The helper for a registry, as the part of its program's name after `docker-credential-`. One with an empty name of its own has none, whatever there is for all others. */
export function helperFor(file: AuthFile, registry: string): string | undefined {
  const own = Object.entries(file.credHelpers ?? {}).find(([key, name]) => isKeyOf(key, registry) && name !== null);
  return (own === undefined ? file.credsStore : own[1]) || undefined;
}

/** What a helper is asked for. */
export function helperKey(registry: string): string {
  return DOCKER_HUB.includes(registry) ? DOCKER_HUB_KEY : registry;
}

/**
 * The credentials that stand in the file itself: those for the longest part of `registry/repository` win, as podman has it.
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG`
 */
export function storedCredentials(
  file: AuthFile,
  registry: string,
  repository: string,
  path: string,
): Credentials | undefined {
  const auths = Object.entries(file.auths ?? {});
  const parts = repository.split('/');
  for (let length = parts.length; length > 0; length--) {
    const below = parts.slice(0, length).join('/');
    const wanted = namesOf(registry).map((name) => `${name}/${below}`);
    const found = auths.find(([key]) => wanted.includes(key));
    const credentials = found?.[1] && credentialsOf(found[1], path);
    if (credentials) return credentials;
  }
  const names = namesOf(registry);
  // The registry's name itself comes before other ways to write it.
  const whole = [...auths.filter(([key]) => names.includes(key)), ...auths.filter(([key]) => !names.includes(key))];
  for (const [key, entry] of whole) {
    if (!isKeyOf(key, registry) || entry === null) continue;
    const credentials = credentialsOf(entry, path);
    if (credentials !== undefined) return credentials;
  }
  return undefined;
}

function namesOf(registry: string): readonly string[] {
  return DOCKER_HUB.includes(registry) ? DOCKER_HUB : [registry];
}

function isKeyOf(key: string, registry: string): boolean {
  return namesOf(registry).includes(hostOfKey(key));
}

/**
 * A key that is a URL stands for its host, whatever the path; without a scheme a path is a part of the registry, as podman has it, but for those of the API, which Docker once wrote.
 * @see docker/cli: cli/config/credentials/file_store.go, `ConvertToHostname`; containers/image: pkg/docker/config/config.go, `normalizeAuthFileKey`
 */
function hostOfKey(key: string): string {
  const url = /^https?:\/\/(?:[^/@]*@)?([^/?#]*)/.exec(key);
  return url?.[1] ?? key.replace(/\/(?:v[12]\/?)?$/, '');
}

function credentialsOf(entry: v.InferOutput<typeof entrySchema>, path: string): Credentials | undefined {
  if (entry.registrytoken) return { kind: 'bearer', token: entry.registrytoken };
  if (entry.identitytoken) return { kind: 'identity-token', token: entry.identitytoken };
  if (entry.auth) {
    // Docker pads what it encodes with NULs.
    const text = Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon < 1) throw malformed(path, 'an auth is not the base64 of NAME:PASSWORD');
    return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  if (!entry.username || entry.password == null) return undefined;
  return { kind: 'password', username: entry.username, password: entry.password };
}

function malformed(path: string, problem: string) {
  return badSetting(`${path} is malformed: ${problem}`, 'correct it, or move it away and log in again', { path });
}
