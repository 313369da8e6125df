import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { firstLine, ProvisionerError, systemCode } from '../../../base/errors.js';
import { readTrustedText } from '../../trusted-text.js';
import { type CdiEdits, type CdiFile, parseCdiName, readCdiDocument } from './cdi-file.js';

/** Where the makers of devices describe them; what stands in the second counts more. @see CDI README, "How to configure CDI" */
const DIRECTORIES = ['/etc/cdi', '/var/run/cdi'];

/** A device as its file has it. */
export interface CdiDevice {
  readonly file: string;
  readonly edits: CdiEdits;
  readonly common: CdiEdits | undefined;
}

/** A file that cannot be used, and why. */
interface BadFile {
  readonly path: string;
  readonly why: string;
}

/** @param names as `vendor.com/class=name` @returns the devices in that order @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_CDI_FILE`, `ERR_BAD_OPTION` */
export async function findCdiDevices(
  names: readonly string[],
  directories: readonly string[] = DIRECTORIES,
): Promise<CdiDevice[]> {
  for (const name of names) {
    if (parseCdiName(name) === undefined) {
      throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(name)} is no name of a CDI device`, {
        hint: 'write VENDOR/CLASS=NAME, such as nvidia.com/gpu=0',
        details: { name },
      });
    }
  }
  const { devices, bad } = await readAll(directories);
  return names.map((name) => {
    const found = devices.get(name);
    if (found === undefined) throw notFound(name, [...devices.keys()], bad, directories);
    const [device, other] = found;
    if (device === undefined || other !== undefined) {
      throw unusable(`${device?.file} and ${other?.file} both describe the device ${name}`, 'remove one of them', name);
    }
    return device;
  });
}

/**
 * All devices of a kind, but for those that two files describe, which are for nobody.
 * @param kind `vendor.com/class` @returns by their whole names, sorted as people count: `gpu=2` before `gpu=10`
 * @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_CDI_FILE`
 */
export async function cdiDevicesOf(
  kind: string,
  directories: readonly string[] = DIRECTORIES,
): Promise<ReadonlyMap<string, CdiDevice>> {
  const { devices, bad } = await readAll(directories);
  const ofKind = [...devices]
    .filter(([name]) => name.startsWith(`${kind}=`))
    .sort(([one], [other]) => one.localeCompare(other, 'en', { numeric: true }));
  if (ofKind.length === 0) throw notFound(`${kind}=…`, [...devices.keys()], bad, directories);
  return new Map(ofKind.flatMap(([name, [device, other]]) => (device && !other ? [[name, device]] : [])));
}

/** Of each device, those with the same weight: more than one is for nobody. A file that is bad spoils none that is sound. */
async function readAll(directories: readonly string[]): Promise<{ devices: Map<string, CdiDevice[]>; bad: BadFile[] }> {
  const devices = new Map<string, CdiDevice[]>();
  const bad: BadFile[] = [];
  for (const directory of directories) {
    const ofDirectory = new Map<string, CdiDevice[]>();
    for (const name of namesIn(directory, bad)) {
      const path = join(directory, name);
      const file = await readOne(path).catch((error) => void bad.push({ path, why: firstLine(error) }));
      for (const { name: device, edits } of file?.devices ?? []) {
        const key = `${file?.kind}=${device}`;
        ofDirectory.set(key, [...(ofDirectory.get(key) ?? []), { file: path, edits, common: file?.common }]);
      }
    }
    for (const [key, found] of ofDirectory) devices.set(key, found);
  }
  return { devices, bad };
}

function namesIn(directory: string, bad: BadFile[]): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.(?:json|yaml)$/.test(name))
      .sort();
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') bad.push({ path: directory, why: firstLine(error) });
    return [];
  }
}

/** Its hooks are run as root: so nobody else may have had a hand in it. */
async function readOne(path: string): Promise<CdiFile> {
  const text = await readTrustedText(path);
  return readCdiDocument(path.endsWith('.json') ? JSON.parse(text) : await parseYaml(text));
}

async function parseYaml(text: string): Promise<unknown> {
  const { parse } = await import('yaml');
  return parse(text, { uniqueKeys: true, maxAliasCount: 100, logLevel: 'error' });
}

function notFound(name: string, known: readonly string[], bad: readonly BadFile[], directories: readonly string[]) {
  const kind = name.slice(0, name.indexOf('='));
  const [first] = bad;
  // It may be the one that has it.
  if (first !== undefined && !known.some((other) => other.startsWith(`${kind}=`))) {
    return unusable(
      `there is no CDI device ${name}, and ${first.path} cannot be used: ${first.why}`,
      'correct that file, or have it made again',
      name,
    );
  }
  const others = known.length === 0 ? 'there is none' : `there are ${known.slice(0, 10).join(', ')}`;
  return new ProvisionerError('ERR_DEVICE_NOT_FOUND', `there is no CDI device ${name}`, {
    hint: `${others}; they are described in files of ${directories.join(' and ')}, which the maker’s tools write (\`nvidia-ctk cdi generate\`)`,
    details: { name },
  });
}

function unusable(message: string, hint: string, name: string): ProvisionerError {
  return new ProvisionerError('ERR_CDI_FILE', message, { hint, details: { name } });
}
