import { isAbsolute, join } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { checkDocument, describeFault, objectOf, recordOf } from '../base/check-document.js';
import { parseProxy } from './connection/proxies.js';
import type { Endpoint } from './endpoint.js';
import { badSetting } from './registry-errors.js';

/** A host of a `hosts.toml`, its certificates still in their files. */
export interface HostEntry extends Omit<Endpoint, 'tls' | 'credentials' | 'namespace'> {
  readonly verify: boolean;
  /** Absolute paths. */
  readonly caFiles: readonly string[];
  readonly clientFiles: ClientFiles | undefined;
}

/** Absolute paths. Without `key`, the key lies in `cert` as well. */
export interface ClientFiles {
  readonly cert: string;
  readonly key?: string | undefined;
}

export interface HostsFile {
  /** In the order in which they are to be tried. */
  readonly mirrors: readonly HostEntry[];
  /** Tried last; `server` is undefined where the file does not say which host it is. */
  readonly registry: Omit<HostEntry, 'host' | 'scheme' | 'path'> & {
    readonly server: Pick<HostEntry, 'host' | 'scheme' | 'path'> | undefined;
  };
}

const listOfOne = v.pipe(
  v.string(),
  v.transform((text) => [text]),
);
const texts = v.union([listOfOne, v.array(v.string())]);

const hostEntries = {
  capabilities: v.optional(v.array(v.string())),
  ca: v.optional(texts),
  client: v.optional(v.union([listOfOne, v.array(v.union([v.string(), v.array(v.string())]))])),
  skip_verify: v.optional(v.boolean()),
  header: v.optional(recordOf(texts)),
  override_path: v.optional(v.boolean()),
  dial_timeout: v.optional(v.string()),
  proxy: v.optional(v.string()),
};
const hostSchema = objectOf(hostEntries);
type HostFields = v.InferOutput<typeof hostSchema>;

const fileSchema = objectOf({
  ...hostEntries,
  server: v.optional(v.string()),
  host: v.optional(recordOf(hostSchema)),
});

/**
 * Reads a `hosts.toml`, as containerd has it. Keys that containerd knows and that say nothing about pulling are passed over.
 * @param directory of the file, absolute: what its paths are relative to
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG`
 * @see containerd, docs/hosts.md, "hosts.toml Content Description"
 */
export function parseHostsFile(text: string, directory: string): HostsFile {
  const path = join(directory, 'hosts.toml');
  const file = check(parseToml(text, path), path);
  const mirrors = Object.entries(file.host ?? {}).map(([url, fields]) => ({
    ...placeOf(url, fields, path),
    ...settingsOf(fields, directory, path),
  }));
  const server = file.server === undefined || file.server === '' ? undefined : placeOf(file.server, file, path);
  return { mirrors, registry: { server, ...settingsOf(file, directory, path) } };
}

function parseToml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    // The parser's own error quotes the file, in which secrets may stand.
    const place = error instanceof TomlError ? `, see line ${error.line}, column ${error.column}` : '';
    throw malformed(path, `it is not TOML${place}`);
  }
}

function check(document: unknown, path: string): v.InferOutput<typeof fileSchema> {
  const checked = checkDocument(fileSchema, document);
  if (checked.sound) return checked.value;
  throw malformed(path, describeFault(checked.faults[0]));
}

function placeOf(url: string, { override_path: overridden = false }: HostFields, file: string) {
  const parsed = parseUrl(url.includes('://') ? url : `https://${url}`);
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) {
    throw malformed(file, `${JSON.stringify(url.slice(0, 200))} is not an http(s) URL`);
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw malformed(file, 'a URL in it holds credentials, which belong into an auth file');
  }
  const path = parsed.pathname.replace(/\/+$/, '');
  return {
    host: parsed.host,
    scheme: parsed.protocol === 'https:' ? ('https' as const) : ('http' as const),
    path: overridden || path.endsWith('/v2') ? path : `${path}/v2`,
  };
}

function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function settingsOf(fields: HostFields, directory: string, file: string) {
  const capabilities = fields.capabilities?.map((name) => name.toLowerCase()) ?? ['pull', 'resolve'];
  const absolute = (path: string) => (isAbsolute(path) ? path : join(directory, path));
  return {
    pulls: capabilities.includes('pull'),
    resolves: capabilities.includes('resolve'),
    verify: fields.skip_verify !== true,
    caFiles: (fields.ca ?? []).map(absolute),
    clientFiles: clientFiles(fields.client, absolute, file),
    headers: Object.fromEntries(
      Object.entries(fields.header ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    connectTimeout: fields.dial_timeout === undefined ? undefined : parseDuration(fields.dial_timeout, file),
    proxy: checkProxy(fields.proxy, file),
  };
}

/** The first of them: one is all that a connection can use. */
function clientFiles(
  client: HostFields['client'],
  absolute: (path: string) => string,
  file: string,
): ClientFiles | undefined {
  const [first] = (client ?? []).map((entry) => {
    const pair = typeof entry === 'string' ? [entry, ''] : entry;
    const [cert = '', key = ''] = pair;
    if (cert === '' || pair.length !== 2) throw malformed(file, 'client: a pair is a certificate and its key');
    return { cert: absolute(cert), ...(key === '' ? {} : { key: absolute(key) }) };
  });
  return first;
}

/** Read here only to complain with the name of the file. */
function checkProxy(proxy: string | undefined, file: string): string | undefined {
  if (proxy !== undefined) parseProxy(proxy, `the proxy in ${file}`);
  return proxy;
}

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};

/** @returns milliseconds @see pkg.go.dev/time, "ParseDuration" */
function parseDuration(text: string, file: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+$/.test(text)) {
    throw malformed(file, `dial_timeout: ${JSON.stringify(text.slice(0, 40))} is not a duration such as 5s`);
  }
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g)];
  const milliseconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS[unit ?? ''] ?? 0), 0);
  return Math.max(1, Math.round(milliseconds));
}

function malformed(path: string, problem: string) {
  return badSetting(`${path} is malformed: ${problem}`, 'see docs/registries.md for what it may hold', { path });
}
