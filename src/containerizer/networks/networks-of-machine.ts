import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { toBytePath } from '../../system/syscalls/byte-path.js';
import { monitorCgroups } from '../cgroups/monitor-cgroups.js';
import type { Machine } from '../machine.js';
import { Connections } from './connections.js';
import { type ContainerNetworks, NetworksOfStore } from './container-networks.js';
import { DriversHere, findHelper } from './drivers/drivers-here.js';
import { MachinePorts } from './machine-ports.js';
import { MachineTurn } from './machine-turn.js';
import { NameServer } from './names/name-server.js';
import { Namespaces } from './namespaces.js';
import { NetworkIsolator } from './network-isolator.js';
import { OwnNetworks } from './own-networks.js';
import { ReadyNetworks } from './ready-networks.js';

/** Milliseconds until a name server serves: it takes ten. */
const NAME_SERVER_PATIENCE = 10_000;

export interface NetworksPlaces {
  /** Of this boot and of all stores; absolute. */
  readonly run: string;
  /** That tells the store from others, and its directory in `run`. */
  readonly key: string;
}

export interface NetworksOfMachine {
  readonly isolator: NetworkIsolator;
  readonly networks: ContainerNetworks;
  readonly ready: ReadyNetworks;
  /** That the machine asks others for names from now on. */
  readonly resolversChanged: () => Promise<void>;
}

/**
 * Puts together what connects containers of a store to networks. Nothing is looked for before it is needed.
 * @param lookAtAll has ends recorded that nobody has seen yet
 */
export function networksOf(
  machine: Machine,
  { run, key }: NetworksPlaces,
  lookAtAll: () => Promise<unknown>,
): NetworksOfMachine {
  const { provisioner, processes, syscalls, bootId, hierarchies, parent } = machine;
  const directory = join(run, key);
  const namespaces = new Namespaces(join(directory, 'networks'), processes, syscalls);
  const withSpareNamespace = async <T>(work: (namespace: string) => Promise<T>): Promise<T> => {
    const id = randomBytes(16).toString('hex');
    try {
      return await work(await namespaces.make(id));
    } finally {
      await namespaces.remove(id);
    }
  };
  const turn = new MachineTurn(run, syscalls);
  const held = () => turn.descriptor;
  const drivers = new DriversHere({ processes, directory, held, withSpareNamespace });
  const networks = new OwnNetworks({ provisioner, bootId, key, turn, driver: () => drivers.chosen() });
  let nameServer: NameServer | undefined;
  const findNameServer = (): NameServer | undefined => {
    const program = findHelper('aardvark-dns');
    if (program === undefined) return undefined;
    nameServer ??= new NameServer({
      ...{ processes, syscalls, program, directory: join(directory, 'names'), patience: NAME_SERVER_PATIENCE },
      join: monitorCgroups(hierarchies, toBytePath(parent)).map((cgroup) => `${cgroup}/cgroup.procs`),
    });
    return nameServer;
  };
  const connections = new Connections({
    ...{ provisioner, bootId, networks, namespaces, drivers, turn },
    ports: new MachinePorts(run),
    nameServer: findNameServer,
  });
  const ready = new ReadyNetworks(connections, networks);
  return {
    isolator: new NetworkIsolator({
      ...{ provisioner, bootId, connections, networks, ready },
      lookAtAll,
      tellsNames: () => findNameServer() !== undefined,
    }),
    networks: new NetworksOfStore(provisioner, networks, () => ready.problems),
    ready,
    resolversChanged: async () => findNameServer()?.reload(),
  };
}
