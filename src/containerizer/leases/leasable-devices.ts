import { ProvisionerError } from '../../base/errors.js';
import { isEverybodys } from '../bundle/limits/resources.js';
import { cdiDevicesOf, findCdiDevices } from '../devices/cdi/cdi-directories.js';
import { cdiEdits, cdiNodes } from '../devices/cdi/cdi-edits.js';
import { parseCdiName } from '../devices/cdi/cdi-file.js';
import type { DeviceNode } from '../devices/device-edits.js';
import { hostDevices } from '../devices/host-devices.js';
import type { LaunchSpec } from '../launch-spec.js';

/** A device as it can be leased. */
export interface LeasableDevice {
  /** As it is asked for: a path, or a CDI name. */
  readonly name: string;
  /** What of it only one may have: the numbers of its nodes, by whatever path or name; of a device without nodes its CDI name. */
  readonly identities: readonly string[];
}

const identityOf = ({ type, major, minor }: DeviceNode): string => `${type} ${major}:${minor}`;
const ofName = (name: string): string => `cdi ${name}`;
/** Where it stands in a container matters elsewhere. */
const ANY_PLACE = '/dev/leased';

/** @param path absolute; a directory stands for all devices in it @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_BAD_OPTION` */
export async function deviceAt(path: string): Promise<LeasableDevice> {
  const nodes = await hostDevices([{ source: path, target: ANY_PLACE }]);
  const identities = [...new Set(nodes.filter(({ type }) => type !== 'p').map(identityOf))];
  if (identities.length > 0 && !nodes.some(isEverybodys)) return { name: path, identities };
  const why = identities.length === 0 ? 'it is no device with numbers' : 'every container has it';
  throw new ProvisionerError('ERR_BAD_OPTION', `${path} cannot be leased: ${why}`, {
    hint: 'leave it out',
    details: { name: path },
  });
}

/** @param name `vendor.com/class=name` @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_CDI_FILE`, `ERR_BAD_OPTION` */
export async function deviceNamed(name: string, directories?: readonly string[]): Promise<LeasableDevice> {
  // Which says why it cannot be had.
  await findCdiDevices([name], directories);
  const all = await devicesOfClass(parseCdiName(name)?.kind ?? '', directories);
  const found = all.find((one) => one.name === name);
  if (found !== undefined) return found;
  await cdiEdits([name], directories);
  return { name, identities: [ofName(name)] };
}

/**
 * Those of a kind, sorted as people count. One whose nodes are not on this machine is left out.
 * @param kind `vendor.com/class` @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_CDI_FILE`
 */
export async function devicesOfClass(kind: string, directories?: readonly string[]): Promise<LeasableDevice[]> {
  const nodesOf = new Map<string, ReadonlySet<string>>();
  for (const [name, device] of await cdiDevicesOf(kind, directories)) {
    const nodes = await cdiNodes(device, name).catch(() => undefined);
    // A node of its own making, such as a FIFO, is another one in each container.
    const numbered = nodes?.filter((node) => node.type !== 'p' && !isEverybodys(node));
    if (numbered !== undefined) nodesOf.set(name, new Set(numbered.map(identityOf)));
  }
  const own = ownNodes(nodesOf);
  return [...own].map(([name, identities]) => ({
    name,
    identities: identities.length === 0 ? [ofName(name)] : identities,
  }));
}

/**
 * Which nodes of the devices of a kind are theirs alone. A file may describe one device under several names, and several as one (`all`): then the nodes of one are a part of those of the other,
 * and one of them keeps the other out. What two devices have of which neither is a part of the other is there for both, as the door to a driver is (`/dev/kfd`): that is nobody's, unless a device would be left
 * with nothing.
 * @param nodesOf of each device, by name
 */
export function ownNodes(nodesOf: ReadonlyMap<string, ReadonlySet<string>>): Map<string, string[]> {
  const sets = [...nodesOf.values()];
  const shared = new Set<string>();
  for (const [index, one] of sets.entries()) {
    for (const other of sets.slice(index + 1)) {
      const both = [...one].filter((node) => other.has(node));
      if (both.length < one.size && both.length < other.size) for (const node of both) shared.add(node);
    }
  }
  const bare = sets.filter((nodes) => [...nodes].every((node) => shared.has(node)));
  for (const nodes of bare) for (const node of nodes) shared.delete(node);
  return new Map([...nodesOf].map(([name, nodes]) => [name, [...nodes].filter((node) => !shared.has(node))]));
}

/** Those of a class that are counted: what is several of the others together is none, and of several names for one the first is. */
export function countedDevices(all: readonly LeasableDevice[]): LeasableDevice[] {
  const sets = all.map(({ identities }) => new Set(identities));
  const has = (whole: ReadonlySet<string>, part: ReadonlySet<string>) => [...part].every((one) => whole.has(one));
  return all.filter((_, index) => {
    const own = sets[index] as Set<string>;
    return !sets.some((other, at) => at !== index && has(own, other) && (other.size < own.size || at < index));
  });
}

/** Whatever a launch would have of devices, leased or not: all nodes, those that devices share too. @param nodes that it would have */
export function identitiesIn({ cdiDevices = [] }: LaunchSpec, nodes: readonly DeviceNode[]): Set<string> {
  const numbered = nodes.filter((node) => node.type !== 'p' && !isEverybodys(node));
  return new Set([...numbered.map(identityOf), ...cdiDevices.map(ofName)]);
}
