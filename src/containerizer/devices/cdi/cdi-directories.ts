import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { firstLine, ProvisionerError, systemCode } from '../../../base/errors.js';
import { type CdiEdits, parseCdiName } from './cdi-file.js';
import { readCdiFile } from './read-cdi-file.js';

/** Where the makers of devices describe them; what stands in the second counts more. @see CDI README, "How to configure CDI" */
const DIRECTORIES = ['/etc/cdi', '/var/run/cdi'];
/** As many are named in a message. */
const NAMED = 10;
const NAMED_FILES = 3;

/** A device as its file has it. */
export interface CdiDevice {
  readonly file: string;
  readonly edits: CdiEdits;
  readonly common: CdiEdits | undefined;
}

/** A device, and how much its directory counts. */
interface Found extends CdiDevice {
  readonly rank: number;
}

/** A file that cannot be used, and why. */
interface BadFile {
  readonly path: string;
  readonly why: string;
  readonly rank: number;
  /** Of which kind its devices seem to be; undefined where it could be any. */
  readonly seemsOf: string | undefined;
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
    // It would have counted more, and what it says may be what is meant.
    const newer = bad.filter((one) => one.rank > device.rank && couldHold(one, name));
    if (newer.length > 0) {
      throw unusable(
        `${filesAndWhy(newer)}; it counts more than ${device.file}, and may describe ${name} too`,
        CORRECT,
        name,
      );
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

/** Of each device, those with the same weight: more than one is for nobody. A file that is bad spoils none that is sound beside it. */
async function readAll(directories: readonly string[]): Promise<{ devices: Map<string, Found[]>; bad: BadFile[] }> {
  const devices = new Map<string, Found[]>();
  const bad: BadFile[] = [];
  for (const [rank, directory] of directories.entries()) {
    const ofDirectory = new Map<string, Found[]>();
    const unusable = (path: string, why: unknown, seemsOf?: string) =>
      void bad.push({ path, why: firstLine(why), rank, seemsOf });
    for (const name of namesIn(directory, unusable)) {
      const path = join(directory, name);
      const file = await readCdiFile(path);
      if ('why' in file) {
        unusable(path, file.why, file.seemsOf);
        continue;
      }
      for (const { name: device, edits } of file.devices) {
        const key = `${file.kind}=${device}`;
        ofDirectory.set(key, [...(ofDirectory.get(key) ?? []), { file: path, edits, common: file.common, rank }]);
      }
    }
    for (const [key, found] of ofDirectory) devices.set(key, found);
  }
  return { devices, bad };
}

function namesIn(directory: string, unusable: (path: string, why: unknown) => void): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.(?:json|yaml)$/.test(name))
      .sort();
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') unusable(directory, error);
    return [];
  }
}

const CORRECT = 'correct that file, or have it made again';
/** Also of a name that stands for all of a kind. */
const kindOf = (name: string) => name.slice(0, name.indexOf('='));
const couldHold = ({ seemsOf }: BadFile, name: string) => seemsOf === undefined || seemsOf === kindOf(name);

function filesAndWhy(bad: readonly BadFile[]): string {
  const texts = bad.slice(0, NAMED_FILES).map(({ path, why }) => `${path} cannot be used: ${why}`);
  return [...texts, ...(bad.length > NAMED_FILES ? [`and ${bad.length - NAMED_FILES} more cannot be used`] : [])].join(
    '; ',
  );
}

function notFound(name: string, known: readonly string[], bad: readonly BadFile[], directories: readonly string[]) {
  const kind = kindOf(name);
  const alike = known.filter((other) => kindOf(other) === kind);
  // One of them may have it: of a kind that a sound file has, only those that say so themselves.
  const holders = bad.filter((one) => couldHold(one, name) && (alike.length === 0 || one.seemsOf !== undefined));
  if (holders.length > 0) return unusable(`there is no CDI device ${name}, and ${filesAndWhy(holders)}`, CORRECT, name);
  const kinds = [...new Set(known.map(kindOf))];
  const others =
    alike.length > 0
      ? `there ${alike.length === 1 ? 'is' : 'are'} ${alike.slice(0, NAMED).join(', ')}`
      : kinds.length > 0
        ? `there is none of that kind, but of ${kinds.slice(0, NAMED).join(', ')}`
        : 'there is none at all';
  return new ProvisionerError('ERR_DEVICE_NOT_FOUND', `there is no CDI device ${name}`, {
    hint: `${others}; they are described in files of ${directories.join(' and ')}, which the maker’s tools write (\`nvidia-ctk cdi generate\`)`,
    details: { name },
  });
}

function unusable(message: string, hint: string, name: string): ProvisionerError {
  return new ProvisionerError('ERR_CDI_FILE', message, { hint, details: { name } });
}
