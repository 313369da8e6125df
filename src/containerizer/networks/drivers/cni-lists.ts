import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { firstLine, systemCode } from '../../../base/errors.js';
import { readTrustedText } from '../../trusted-text.js';
import { type CniList, CONFIGURED, type ConfiguredNetwork } from '../network.js';
import { isNetworkName } from '../network-mode.js';

/** Where administrators describe networks. */
const DIRECTORY = '/etc/cni/net.d';

/** The plugin's type is the name of its program. */
const PLUGIN = v.looseObject({
  type: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'is no name of a plugin')),
  capabilities: v.optional(v.record(v.string(), v.boolean())),
});
const LIST = v.looseObject({
  cniVersion: v.string(),
  name: v.pipe(v.string(), v.check(isNetworkName, 'cannot be the name of a network here')),
  plugins: v.pipe(v.array(PLUGIN), v.nonEmpty()),
});

/** Networks that files describe, by name; of two of one name the first file counts. */
export interface CniNetworks {
  readonly networks: readonly ConfiguredNetwork[];
  /** Files that cannot be used, and why. */
  readonly bad: readonly { readonly path: string; readonly why: string }[];
}

/** Looks up what there is now. One bad file spoils none that is sound. @see CNI specification 1.0, section 1 */
export async function readCniNetworks(directory = DIRECTORY): Promise<CniNetworks> {
  const networks = new Map<string, ConfiguredNetwork>();
  const bad: { path: string; why: string }[] = [];
  for (const name of namesIn(directory)) {
    const path = join(directory, name);
    try {
      const configuration = listOf(JSON.parse(await readTrustedText(path)), name.endsWith('.conflist'));
      const known = networks.has(configuration.name);
      if (!known) networks.set(configuration.name, { ...CONFIGURED, name: configuration.name, configuration });
    } catch (error) {
      bad.push({ path, why: firstLine(error) });
    }
  }
  return { networks: [...networks.values()], bad };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.(?:conflist|conf|json)$/.test(name))
      .sort();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    return [];
  }
}

/** A file of one plugin is a list of one. */
function listOf(document: unknown, isList: boolean): CniList {
  const { cniVersion, name, ...plugin } = Object(document) as Record<string, unknown>;
  const whole = isList ? document : { cniVersion, name, plugins: [plugin] };
  return v.parse(LIST, whole) as CniList;
}
