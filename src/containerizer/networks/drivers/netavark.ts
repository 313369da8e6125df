import { createHash } from 'node:crypto';
import type { Processes } from '../../../system/processes/processes.js';
import type { OwnNetwork, PortMapping } from '../network.js';
import { CONTAINER_INTERFACE, type Connected, type Connection, type NetworkDriver } from './network-driver.js';
import { failed, type PluginRun, runPlugin } from './run-plugin.js';

/** What the driver takes of the machine. */
export interface NetavarkOptions {
  readonly processes: Processes;
  /** Absolute. */
  readonly program: string;
  /** For files of its own; absolute, of this boot. */
  readonly directory: string;
  /** Milliseconds for one call. */
  readonly patience: number;
  /** Makes a namespace that nothing is in, for what has to be done in one. */
  /** A descriptor that is to stay open as long as netavark runs. */
  readonly held: () => number | undefined;
  readonly withSpareNamespace: <T>(work: (namespace: string) => Promise<T>) => Promise<T>;
}

/** Its programs (iptables, nft) lie where administrators' programs are. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Connects by netavark, which podman has too. Rules that it shares out among all networks stay when the last one has gone: they are its own. @see netavark(1) */
export class NetavarkDriver implements NetworkDriver {
  readonly name = 'netavark';
  readonly #options: NetavarkOptions;

  constructor(options: NetavarkOptions) {
    this.#options = options;
  }

  async connect(connection: Connection, signal: AbortSignal | undefined): Promise<Connected> {
    const { network, namespace, address } = connection;
    if (network.kind !== 'own' || namespace === undefined || address === undefined) throw new TypeError('not for this');
    const { ok, complaint } = await runPlugin(
      this.#options.processes,
      this.#run('setup', connection, namespace),
      signal,
    );
    if (!ok) throw failed('netavark', `could not connect to the network ${network.name}: ${complaint}`);
    return { address, gateway: network.gateway };
  }

  async disconnect(connection: Connection): Promise<void> {
    const { namespace } = connection;
    if (namespace !== undefined && (await this.#teardown(connection, namespace))) return;
    // It goes by what is in the namespace: what was left half made, or has lost that, is made whole in another one, and taken back from there.
    await this.#options.withSpareNamespace(async (spare) => {
      const { processes } = this.#options;
      await runPlugin(processes, this.#run('setup', connection, spare), undefined);
      if (await this.#teardown(connection, spare)) return;
      const { complaint } = await runPlugin(processes, this.#run('teardown', connection, spare), undefined);
      throw failed('netavark', `could not take a container off the network ${connection.network.name}: ${complaint}`);
    });
  }

  async #teardown(connection: Connection, namespace: string): Promise<boolean> {
    const run = this.#run('teardown', connection, namespace);
    return (await runPlugin(this.#options.processes, run, undefined)).ok;
  }

  #run(command: 'setup' | 'teardown', connection: Connection, namespace: string): PluginRun {
    const { program, directory, patience, held } = this.#options;
    return {
      program,
      args: ['--config', directory, command, namespace],
      // What is made and taken back by different processes must not depend on whose environment it is.
      env: { PATH },
      input: JSON.stringify(optionsOf(connection)),
      name: 'netavark',
      patience,
      held: held(),
    };
  }
}

/** What netavark is told. It names its rules after the network, for the whole machine: so it is called what the bridge is called, which no other store has. */
function optionsOf({ id, network, address, ports }: Connection): object {
  const own = network as OwnNetwork;
  const { bridge, subnet, gateway, internal } = own;
  return {
    container_id: id,
    container_name: id,
    port_mappings: rangesOf(ports).map(portOf),
    networks: { [bridge]: { static_ips: [address], interface_name: CONTAINER_INTERFACE } },
    network_info: {
      [bridge]: {
        name: bridge,
        id: createHash('sha256').update(bridge).digest('hex'),
        driver: 'bridge',
        network_interface: bridge,
        subnets: [{ subnet, gateway }],
        ipv6_enabled: false,
        // Those of other networks do not reach it.
        ...(internal ? {} : { options: { isolate: 'true' } }),
        internal,
        dns_enabled: false,
        ipam_options: { driver: 'host-local' },
      },
    },
  };
}

interface PortRange extends PortMapping {
  readonly count: number;
}

/** Ports that follow each other on both sides are one rule. */
export function rangesOf(ports: readonly PortMapping[]): PortRange[] {
  const ranges: PortRange[] = [];
  for (const port of ports) {
    const last = ranges.at(-1);
    const follows =
      last !== undefined &&
      last.protocol === port.protocol &&
      last.hostAddress === port.hostAddress &&
      last.hostPort + last.count === port.hostPort &&
      last.containerPort + last.count === port.containerPort;
    if (follows) ranges[ranges.length - 1] = { ...last, count: last.count + 1 };
    else ranges.push({ ...port, count: 1 });
  }
  return ranges;
}

function portOf({ containerPort, hostPort, hostAddress, protocol, count }: PortRange): object {
  return { host_ip: hostAddress ?? '', container_port: containerPort, host_port: hostPort, range: count, protocol };
}
