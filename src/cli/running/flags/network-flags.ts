import { isIP } from 'node:net';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { LaunchSpec, PortSpec } from '../../../containerizer/index.js';
import { UsageError } from '../../usage-error.js';

export interface NetworkFlags {
  readonly network?: string;
  readonly publish: readonly string[];
  readonly networkAlias: readonly string[];
  readonly ip?: string;
}

/** Ports that one range may have. */
const RANGE_MOST = 1000;

const all = (value: string, others: readonly string[] = []) => [...others, value];

export function addNetworkFlags(command: Command): void {
  command
    .option(
      '--network <network>',
      'none: a loopback alone (the default, without -p); host: this machine’s own; bridge, internal (without a way out), or one of `network ls`; netns:PATH',
      oneNetwork,
    )
    .option(
      '-p, --publish <ports>',
      '[[ADDRESS:]PORT:]PORT[/udp]: a port of this machine, the first one, that leads to one of the container; may be repeated',
      all,
      [],
    )
    .option('--network-alias <name>', 'what else it is called in its network; may be repeated', all, [])
    .option('--ip <address>', 'its address in its network (default: one that is free)');
  command.addOption(new Option('--net <network>').argParser(oneNetwork).hideHelp());
  command.on('option:net', () => command.setOptionValue('network', command.getOptionValue('net')));
}

/** @throws UsageError */
function oneNetwork(text: string, before: string | undefined): string {
  if (before !== undefined || text.includes(',')) {
    throw new UsageError(
      '--network: a container has one network',
      'name one; containers of several networks are not there yet',
    );
  }
  if (text.startsWith('container:')) {
    throw new UsageError(
      `--network ${text}: containers do not share a network namespace`,
      'write --network NAME for both: they know each other by name',
    );
  }
  return text;
}

/** @throws UsageError */
export function networkOf({
  network,
  publish,
  networkAlias,
  ip,
}: NetworkFlags): Pick<LaunchSpec, 'network' | 'ports' | 'networkAliases' | 'address'> {
  const ports = publish.flatMap(portsOf);
  return {
    // As with Docker: whoever publishes a port wants a network that has some.
    network: network ?? (ports.length > 0 ? 'bridge' : undefined),
    ports,
    networkAliases: networkAlias,
    address: ip,
  };
}

/** One, or a range of them. @throws UsageError */
function portsOf(text: string): PortSpec[] {
  const [, ways = '', word = 'tcp'] = /^(.*?)(?:\/([a-z]+))?$/i.exec(text) ?? [];
  const protocol = word.toLowerCase();
  const parts = ways.split(':');
  const [container = '', host = '', address] = parts.reverse();
  if (parts.length > 3 || !isProtocol(protocol) || (address !== undefined && isIP(address) !== 4)) throw noPort(text);
  const own = rangeOf(container);
  const here = host === '' ? undefined : rangeOf(host);
  if (own === undefined || (host !== '' && here?.length !== own.length)) throw noPort(text);
  return own.map((containerPort, index) => ({
    containerPort,
    hostPort: here?.[index],
    hostAddress: address,
    protocol,
  }));
}

const isProtocol = (text: string): text is 'tcp' | 'udp' | 'sctp' => ['tcp', 'udp', 'sctp'].includes(text);

/** `80`, or `8000-8010`. */
function rangeOf(text: string): number[] | undefined {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === '' || from < 1 || to > 65_535 || to < from || to - from >= RANGE_MOST) return undefined;
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function noPort(text: string): UsageError {
  return new UsageError(
    `--publish: ${JSON.stringify(text)} says nothing of ports`,
    'addresses are IPv4; write -p 8080:80, -p 127.0.0.1:5353:53/udp, -p 8000-8005:8000-8005, or -p 80 for a port that is free',
  );
}
