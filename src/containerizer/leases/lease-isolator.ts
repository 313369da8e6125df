import { crashPoint } from '../../base/crash-points.js';
import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import { parseCpuList, printCpuList } from '../cgroups/limits/cpu-list.js';
import { findDevices } from '../devices/find-devices.js';
import { hostDevices } from '../devices/host-devices.js';
import type { IsolatedLaunch, IsolatedSpec, Isolator } from '../isolators/isolator.js';
import type { LaunchLimits, LaunchSpec, LeaseSpec } from '../launch-spec.js';
import type { ChosenLeases, LeaseWishes } from './choose-leases.js';
import { countedDevices, deviceAt, deviceNamed, devicesOfClass, identitiesIn } from './leasable-devices.js';
import type { LeaseTable } from './lease-table.js';

/** Which processors can be leased. */
export interface LeasableCpus {
  /** Of those that containers may use here, what a number of them is taken of; ascending. @throws ProvisionerError `ERR_LIMIT_UNSUPPORTED` */
  counted(): readonly number[];
  /** @throws ProvisionerError `ERR_LIMIT_INVALID`, `ERR_LIMIT_UNSUPPORTED` for a list that no container can have */
  require(cpuset: string): void;
}

/**
 * Gives launches processors and devices that no other has. They are its cpuset and its devices, as if it had asked for these; who asks for one of them in that way while it is leased is refused. Who says nothing of
 * processors runs on all of them, as before.
 */
export class LeaseIsolator implements Isolator {
  readonly #table: LeaseTable;
  readonly #cpus: LeasableCpus;

  constructor(table: LeaseTable, cpus: LeasableCpus) {
    this.#table = table;
    this.#cpus = cpus;
  }

  async prepare({ id, containerId }: IsolatedLaunch, isolated: IsolatedSpec): Promise<IsolatedSpec> {
    const { spec } = isolated;
    const wishes = await this.#wishesOf(spec);
    if (wishes === undefined) {
      await this.#use({ id, containerId }, spec);
      return isolated;
    }
    const taken = await this.#table.take({ holder: id, containerId }, wishes);
    crashPoint('launch.leased');
    const given = await givenTo(spec, taken);
    await this.#use({ id, containerId }, given);
    const leased = { cpus: listOf(taken.cpus), devices: taken.devices.map(({ name }) => name) };
    return { ...isolated, spec: given, leased };
  }

  async update(launch: IsolatedLaunch, { cpuset }: LaunchLimits, change: () => Promise<void>): Promise<void> {
    if (cpuset === undefined) return change();
    const { id, containerId } = launch;
    const own = listOf((await this.#table.of(id)).cpus);
    if (own !== undefined) {
      throw new ProvisionerError(
        'ERR_LIMIT_INVALID',
        `cpuset cannot be ${JSON.stringify(cpuset)}: container ${containerId} has leased the processors ${own}`,
        {
          hint: 'launch it anew with another lease',
          details: { limit: 'cpuset', value: cpuset, leased: own },
        },
      );
    }
    const giveBack = await this.#use(launch, { limits: { cpuset } });
    try {
      await change();
    } catch (error) {
      await giveBack();
      throw error;
    }
    await this.#table.useOnly(id, parseCpuList(cpuset) ?? []);
  }

  async cleanUp({ id }: IsolatedLaunch): Promise<void> {
    await this.#table.giveBack(id);
  }

  async recover(unended: () => Promise<ReadonlySet<string>>): Promise<string[]> {
    return this.#table.giveBackAll(unended);
  }

  async close(): Promise<void> {}

  /** @returns undefined where nothing is to be leased @throws ProvisionerError `ERR_DEVICE_NOT_FOUND`, `ERR_CDI_FILE`, `ERR_BAD_OPTION`, `ERR_LIMIT_INVALID`, `ERR_LIMIT_UNSUPPORTED` */
  async #wishesOf({ leases = {}, limits }: LaunchSpec): Promise<LeaseWishes | undefined> {
    const { cpus, devices = [], deviceClasses = {} } = leases;
    if (cpus !== undefined && limits?.cpuset !== undefined) {
      throw new ProvisionerError('ERR_BAD_OPTION', 'processors are leased, and a cpuset is given too', {
        hint: 'leave the cpuset out: it is the processors that are leased',
      });
    }
    const classes = Object.entries(deviceClasses);
    if (cpus === undefined && devices.length === 0 && classes.length === 0) return undefined;
    return {
      cpus: cpus === undefined ? undefined : this.#cpusOf(cpus),
      devices: await Promise.all(devices.map((name) => (name.includes('=') ? deviceNamed(name) : deviceAt(name)))),
      classes: await Promise.all(classes.map(([kind, count]) => classOf(kind, count))),
    };
  }

  #cpusOf(cpus: NonNullable<LeaseSpec['cpus']>): NonNullable<LeaseWishes['cpus']> {
    if (typeof cpus === 'string') {
      try {
        this.#cpus.require(cpus);
      } catch (error) {
        throw unleasable(cpus, error);
      }
      return { among: parseCpuList(cpus) ?? [] };
    }
    const among = this.#cpus.counted();
    if (cpus <= among.length) return { among, count: cpus };
    throw new ProvisionerError(
      'ERR_LIMIT_INVALID',
      `${cpus} processors cannot be leased: of those here this process may use ${printCpuList(among)}`,
      { hint: 'lease fewer', details: { limit: 'cpuset', value: cpus } },
    );
  }

  /** Who has leased something has it to himself, also of those who would only use it, by whatever name. @returns gives back @throws ProvisionerError `ERR_LEASED`; as `findDevices` */
  async #use({ id, containerId }: IsolatedLaunch, spec: LaunchSpec): Promise<() => Promise<void>> {
    const { devices = [], cdiDevices = [], limits } = spec;
    const cpus = parseCpuList(limits?.cpuset ?? '') ?? [];
    if (cpus.length + devices.length + cdiDevices.length === 0) return async () => undefined;
    const { nodes } = await findDevices(spec);
    return this.#table.use({ holder: id, containerId }, { cpus, devices: identitiesIn(spec, nodes) });
  }
}

/** Whoever leases processors has not asked for a cpuset. */
function unleasable(cpus: string, error: unknown): unknown {
  if (!isProvisionerError(error)) return error;
  const { code, message, hint, details } = error;
  const own = { cause: error, details, ...(hint !== undefined && { hint }) };
  return new ProvisionerError(code, `the processors ${JSON.stringify(cpus)} cannot be leased: ${message}`, own);
}

async function classOf(kind: string, count: number) {
  const among = countedDevices(await devicesOfClass(kind));
  if (among.length >= count) return { kind, count, among };
  throw new ProvisionerError(
    'ERR_DEVICE_NOT_FOUND',
    `${count} devices of ${kind} are wanted, and this machine has ${among.length}`,
    {
      hint:
        among.length === 0 ? 'have its CDI file made again' : `there are ${among.map(({ name }) => name).join(', ')}`,
      details: { kind, count, known: among.length },
    },
  );
}

/** A device that it asks for besides, to have it at another place or with less access, it has in that way alone. */
async function givenTo(spec: LaunchSpec, { cpus, devices }: ChosenLeases): Promise<LaunchSpec> {
  const { limits, devices: own = [], cdiDevices = [] } = spec;
  const asked = identitiesIn({}, await hostDevices(own));
  const paths = devices.filter(({ name }) => name.startsWith('/'));
  const missing = paths.filter(({ identities }) => !identities.every((identity) => asked.has(identity)));
  const named = devices.map(({ name }) => name).filter((name) => !name.startsWith('/'));
  return {
    ...spec,
    limits: { ...limits, ...(cpus.length > 0 && { cpuset: printCpuList(cpus) }) },
    devices: [...own, ...missing.map(({ name }) => ({ source: name }))],
    cdiDevices: [...new Set([...cdiDevices, ...named])],
  };
}

const listOf = (cpus: readonly number[]): string | undefined => (cpus.length === 0 ? undefined : printCpuList(cpus));
