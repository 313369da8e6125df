import type { HoldingRecord, WantedHolding } from '../../index.js';
import type { LeasableDevice } from './leasable-devices.js';

/** Kinds of holdings: what somebody has for himself. */
export const CPU = 'cpu';
export const DEVICE = 'device';
/** What somebody names without having leased it, as others may too; but nobody leases it meanwhile. The holder's word follows the name. */
export const CPU_USE = 'cpu-use';
export const DEVICE_USE = 'device-use';
export const KINDS = [CPU, DEVICE, CPU_USE, DEVICE_USE] as const;

/** What somebody has, or uses. */
export interface Held {
  readonly kind: typeof CPU | typeof DEVICE;
  /** The number of a processor, or an identity of a device. */
  readonly name: string;
  readonly isLeased: boolean;
  readonly record: HoldingRecord;
}

/** As the records have it. */
export function heldOf(record: HoldingRecord): Held {
  const { kind, name } = record;
  const isLeased = kind === CPU || kind === DEVICE;
  return {
    kind: kind === CPU || kind === CPU_USE ? CPU : DEVICE,
    name: isLeased ? name : name.slice(0, name.lastIndexOf(' ')),
    isLeased,
    record,
  };
}

/** What is to be leased, as the machine has it. */
export interface LeaseWishes {
  /** So many of some, the first that are free; all of them where no number is given. */
  readonly cpus?: { readonly among: readonly number[]; readonly count?: number | undefined } | undefined;
  readonly devices: readonly LeasableDevice[];
  readonly classes: readonly ClassWish[];
}

interface ClassWish {
  readonly kind: string;
  readonly count: number;
  readonly among: readonly LeasableDevice[];
}

export interface ChosenLeases {
  /** Ascending. */
  readonly cpus: readonly number[];
  readonly devices: readonly LeasableDevice[];
}

/** What cannot be had, and who has it. */
export interface Lacking {
  /** `processor 3`, `vendor.com/gpu=0`, `2 devices of vendor.com/gpu` */
  readonly what: string;
  /** Of those that it would take. */
  readonly held: readonly Held[];
}

/** Chooses what of all that is free is taken. @param held and used, by anybody */
export function chooseLeases(
  { cpus, devices, classes }: LeaseWishes,
  held: readonly Held[],
): { readonly chosen: ChosenLeases } | { readonly lacking: Lacking } {
  const find = (kind: Held['kind'], names: readonly (string | number)[]) =>
    held.filter((one) => one.kind === kind && names.map(String).includes(one.name));
  const lacking = (what: string, by: readonly Held[]) => ({ lacking: { what, held: by } });

  const { among: processors = [], count: wanted = processors.length } = cpus ?? {};
  const free = processors.filter((processor) => find(CPU, [processor]).length === 0);
  if (free.length < wanted) {
    const by = find(CPU, processors);
    const isNumber = cpus?.count !== undefined;
    return lacking(isNumber ? `${wanted} processor${wanted === 1 ? '' : 's'}` : `processor ${by[0]?.name}`, by);
  }

  const mine = new Set<string>();
  const chosen: LeasableDevice[] = [];
  const take = (device: LeasableDevice) => {
    chosen.push(device);
    for (const identity of device.identities) mine.add(identity);
  };
  for (const device of devices) {
    const by = find(DEVICE, device.identities);
    if (by.length > 0) return lacking(device.name, by);
    take(device);
  }
  for (const { kind, count, among } of classes) {
    let left = count;
    const by: Held[] = [];
    for (const device of among) {
      if (left === 0) break;
      // What this launch has by another wish is not counted once more.
      if (device.identities.some((identity) => mine.has(identity))) continue;
      const others = find(DEVICE, device.identities);
      by.push(...others);
      if (others.length > 0) continue;
      take(device);
      left--;
    }
    if (left > 0) return lacking(`${count} device${count === 1 ? '' : 's'} of ${kind}`, by);
  }
  return { chosen: { cpus: free.slice(0, wanted), devices: chosen } };
}

/** What the records know of a holding beside its name. */
export interface LeaseDetails {
  readonly containerId?: string | undefined;
  /** As it was asked for; of what is used the number or numbers. */
  readonly device?: string | undefined;
}

/** As holdings: of one device by several names each of its identities once. */
export function holdingsOf({ cpus, devices }: ChosenLeases, containerId: string | undefined): WantedHolding[] {
  const details = (own: LeaseDetails) => JSON.stringify({ containerId, ...own });
  const seen = new Set<string>();
  const ofDevices = devices.map(({ name, identities }) => {
    const names = identities.filter((identity) => !seen.has(identity));
    for (const one of names) seen.add(one);
    return { kind: DEVICE, names, details: details({ device: name }) };
  });
  return [{ kind: CPU, names: cpus.map(String), details: details({}) }, ...ofDevices];
}

export const detailsOf = ({ details = '{}' }: Pick<HoldingRecord, 'details'>): LeaseDetails =>
  JSON.parse(details) as LeaseDetails;
