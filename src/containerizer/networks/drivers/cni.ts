import * as v from 'valibot';
import { isProvisionerError, ProvisionerError } from '../../../base/errors.js';
import type { Processes } from '../../../system/processes/processes.js';
import { findProgram } from '../../../system/syscalls/find-program.js';
import { findSystemProgram } from '../../runtime/find-runtime.js';
import type { CniList, CniPlugin, OwnNetwork, PortMapping } from '../network.js';
import { connectedTo } from './bridges.js';
import { CONTAINER_INTERFACE, type Connected, type Connection, type NetworkDriver } from './network-driver.js';
import { failed, type PluginAnswer, runPlugin } from './run-plugin.js';

export interface CniOptions {
  readonly processes: Processes;
  /** Where plugins lie; absolute, the first that has one counts. */
  readonly directories: readonly string[];
  /** Milliseconds for one plugin. */
  readonly patience: number;
  /** A descriptor that is to stay open as long as a plugin runs. */
  readonly held: () => number | undefined;
  /** Makes a namespace that nothing is in, for what has to be done in one. */
  readonly withSpareNamespace: <T>(work: (namespace: string) => Promise<T>) => Promise<T>;
}

/** What a plugin says of what it has done, as far as it is read here. @see CNI specification 1.0, section 5, "Success" */
const RESULT = v.looseObject({
  ips: v.optional(
    v.array(
      v.looseObject({
        address: v.pipe(v.string(), v.regex(/^[0-9A-Fa-f.:]+\/\d+$/)),
        gateway: v.optional(v.pipe(v.string(), v.regex(/^[0-9A-Fa-f.:]*$/))),
      }),
    ),
  ),
});
type CniResult = Partial<v.InferOutput<typeof RESULT>>;

/** What is needed to take a connection off again: what it was made by, whatever has become of the file since. */
interface KeptResult {
  readonly result: CniResult;
}

const VERSION = '0.4.0';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Connects by plugins of the Container Network Interface. @see CNI specification 1.0 */
export class CniDriver implements NetworkDriver {
  readonly name = 'cni';
  readonly #options: CniOptions;

  constructor(options: CniOptions) {
    this.#options = options;
  }

  async connect(connection: Connection, signal: AbortSignal | undefined): Promise<Connected> {
    const list = listFor(connection);
    const { network, ports, address } = connection;
    const can = (what: string) => list.plugins.some(({ capabilities }) => capabilities?.[what] === true);
    if (ports.length > 0 && !can('portMappings')) {
      throw new ProvisionerError('ERR_BAD_OPTION', `the network ${network.name} publishes no ports`, {
        hint: 'add the plugin portmap, with the capability portMappings, to its file; or use another network',
        details: { network: network.name },
      });
    }
    if (address !== undefined && network.kind === 'configured' && !can('ips')) {
      throw new ProvisionerError('ERR_BAD_OPTION', `the network ${network.name} gives no address that was asked for`, {
        hint: 'leave the address out, or use another network',
        details: { network: network.name, address },
      });
    }
    await this.#run('ADD', { type: 'loopback' }, list, connection, undefined, signal);
    let result: CniResult = {};
    for (const plugin of list.plugins) result = await this.#run('ADD', plugin, list, connection, result, signal);
    const [first] = result.ips ?? [];
    const kept: KeptResult = { result };
    return { address: first?.address.split('/')[0], gateway: first?.gateway || undefined, result: kept };
  }

  async disconnect(connection: Connection): Promise<void> {
    const { network, namespace } = connection;
    const failure = await this.#delete(connection);
    if (network.kind === 'configured') {
      // What never was connected is perhaps described so that it cannot be: a plugin that says no has nothing of it.
      const isRefused = isProvisionerError(failure) && failure.details['said'] === true;
      if (failure !== undefined && !(connection.result === undefined && isRefused)) throw failure;
      return;
    }
    // Some plugins take away by what is in the namespace: what was left half made, or has lost that, is made whole in another one, and taken back from there.
    if (failure !== undefined || namespace === undefined) {
      await this.#options.withSpareNamespace(async (spare) => {
        const whole = { ...connection, namespace: spare };
        const { result } = await this.connect(whole, undefined);
        const still = await this.#delete({ ...whole, result });
        if (still !== undefined) throw still;
      });
    }
    await this.#removeBridge(network);
  }

  /** Each plugin is told, in reverse, also when one before has failed. @returns why the first of these did */
  async #delete(connection: Connection): Promise<unknown> {
    const list = listFor(connection);
    const { result = {} } = (connection.result ?? {}) as Partial<KeptResult>;
    let failure: unknown;
    for (const plugin of [...list.plugins].reverse()) {
      // One that has never been there has done nothing.
      if (connection.result === undefined && this.#find(plugin) === undefined) continue;
      await this.#run('DEL', plugin, list, connection, result, undefined).catch((error) => {
        failure ??= error;
      });
    }
    return failure;
  }

  /** The plugin leaves it behind, with the machine's address there. */
  async #removeBridge({ bridge }: OwnNetwork): Promise<void> {
    const program = findSystemProgram('ip');
    if (program === undefined || connectedTo(bridge) !== 0) return;
    const { processes, patience } = this.#options;
    const run = {
      program,
      args: ['link', 'delete', bridge, 'type', 'bridge'],
      env: {},
      input: '',
      name: 'ip',
      patience,
    };
    await runPlugin(processes, run, undefined);
  }

  #find({ type }: CniPlugin): string | undefined {
    return findProgram(type, { PATH: this.#options.directories.join(':') });
  }

  async #run(
    command: 'ADD' | 'DEL',
    plugin: CniPlugin,
    list: CniList,
    connection: Connection,
    before: CniResult | undefined,
    signal: AbortSignal | undefined,
  ): Promise<CniResult> {
    const { directories, processes, patience, held } = this.#options;
    const program = this.#find(plugin);
    if (program === undefined) throw missing(plugin.type, directories);
    const isLoopback = plugin.type === 'loopback';
    const { capabilities, ...own } = plugin;
    const settings = {
      ...own,
      cniVersion: list.cniVersion,
      name: isLoopback ? 'lo' : list.name,
      ...runtimeSettings(capabilities ?? {}, connection),
      ...(before === undefined || Object.keys(before).length === 0 ? {} : { prevResult: before }),
    };
    const run = {
      program,
      args: [],
      env: {
        PATH,
        CNI_COMMAND: command,
        CNI_CONTAINERID: connection.id,
        CNI_NETNS: connection.namespace ?? '',
        CNI_IFNAME: isLoopback ? 'lo' : CONTAINER_INTERFACE,
        CNI_ARGS: 'IgnoreUnknown=1',
        CNI_PATH: directories.join(':'),
      },
      input: JSON.stringify(settings),
      name: `the plugin ${plugin.type}`,
      patience,
      held: held(),
    };
    const answer = await runPlugin(processes, run, signal);
    if (!answer.ok) {
      const deed = command === 'ADD' ? 'connect to' : 'take a container off';
      const what = `could not ${deed} the network ${connection.network.name}: ${answer.complaint}`;
      throw failed(run.name, what, undefined, true);
    }
    return command === 'ADD' ? resultOf(answer, run.name) : {};
  }
}

function resultOf({ stdout }: PluginAnswer, name: string): CniResult {
  try {
    return v.parse(RESULT, JSON.parse(stdout));
  } catch (cause) {
    throw failed(name, 'answered with something that is no result of a plugin', cause);
  }
}

/** @see CNI conventions, "Dynamic Plugin specific fields" */
function runtimeSettings(capabilities: Readonly<Record<string, boolean>>, { ports, address }: Connection): object {
  const settings = {
    ...(capabilities['portMappings'] === true && ports.length > 0 ? { portMappings: ports.map(portOf) } : {}),
    ...(capabilities['ips'] === true && address !== undefined ? { ips: [address] } : {}),
  };
  return Object.keys(settings).length === 0 ? {} : { runtimeConfig: settings };
}

const portOf = ({ containerPort, hostPort, hostAddress, protocol }: PortMapping): object => ({
  containerPort,
  hostPort,
  protocol,
  ...(hostAddress === undefined ? {} : { hostIP: hostAddress }),
});

/** How an own network is told to plugins: they choose no address. */
function listFor({ network, address }: Connection): CniList {
  if (network.kind === 'configured') return network.configuration;
  const { bridge, subnet, gateway, internal } = network;
  const prefix = subnet.slice(subnet.indexOf('/'));
  const ways = internal ? {} : { routes: [{ dst: '0.0.0.0/0' }] };
  const first = {
    type: 'bridge',
    bridge,
    isGateway: true,
    ipMasq: !internal,
    hairpinMode: true,
    ipam: { type: 'static', addresses: [{ address: `${address}${prefix}`, gateway }], ...ways },
  };
  const others = [
    { type: 'portmap', capabilities: { portMappings: true } },
    // That others do not reach it could be said as well, but those rules would stay.
    { type: 'firewall' },
  ];
  return { cniVersion: VERSION, name: bridge, plugins: internal ? [first] : [first, ...others] };
}

function missing(type: string, directories: readonly string[]): ProvisionerError {
  return new ProvisionerError('ERR_NETWORK_UNSUPPORTED', `the network needs the plugin ${type}, which is not there`, {
    hint: `install it in ${directories.join(' or ')}: \`apt-get install containernetworking-plugins\``,
    details: { plugin: type },
  });
}
