import { createHash, createHmac, randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { formatPlatform, type Platform } from '../image/platform.js';
import type { PullKey } from '../metadata/pulls/pull-records.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import { formatSource, type Source } from '../sources/source.js';

export interface PullTerms {
  readonly registry?: RegistryOptions | undefined;
  readonly maxImageBytes?: number | undefined;
}

/** Of this process alone, so that what is made with it tells nothing to who reads the records. */
const SECRET = randomBytes(32);

/**
 * Names a pull, so that callers who want the same find each other.
 *
 * Pulls with credentials in their options are shared only where these are the same, and only within the process: the records must not hold anything by
 * which a password could be guessed. Credentials in files are shared by all who name the same file.
 * @param source with an absolute path
 */
export function pullKey(source: Source, platform: Platform, { registry = {}, maxImageBytes }: PullTerms): PullKey {
  const { credentials, ...reached } = registry;
  const said = Object.entries(reached).filter(([, value]) => value !== undefined);
  const terms = {
    registry: source.transport === 'docker' ? said.sort(([one], [other]) => (one < other ? -1 : 1)) : [],
    credentials: credentials && createHmac('sha256', SECRET).update(JSON.stringify(credentials)).digest('hex'),
    // No limit is null in JSON.
    maxImageBytes,
    version: source.transport === 'docker' ? undefined : fileVersion(source),
  };
  return {
    source: formatSource(source),
    platform: formatPlatform(platform),
    terms: createHash('sha256').update(JSON.stringify(terms)).digest('hex').slice(0, 16),
  };
}

/** A layout or an archive that has been written anew is another one: whoever pulls after that wants what it holds now. */
function fileVersion({ transport, path }: Exclude<Source, { transport: 'docker' }>): string {
  const file = transport === 'oci' ? join(path, 'index.json') : path;
  try {
    const { ino, size, mtimeNs } = statSync(file, { bigint: true });
    return `${ino} ${size} ${mtimeNs}`;
  } catch {
    // The pull itself will say what is wrong with it.
    return '';
  }
}
