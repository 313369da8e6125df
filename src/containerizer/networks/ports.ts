import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIP } from 'node:net';
import { ProvisionerError, systemCode } from '../../base/errors.js';
import type { HoldingRecord, Provisioner } from '../../index.js';
import { PORT } from './connection-note.js';
import { rangesOf } from './drivers/netavark.js';
import { type PortMapping, type PortSpec, PROTOCOLS, type Protocol } from './network.js';

const LAST_PORT = 65_535;
/** Free ports that are tried until one is taken by nobody else meanwhile. */
const TRIES = 20;
/** Rules of one container: each takes a tenth of a second to make. Ports that follow each other are one. */
const RULES_MOST = 64;
/** Where the name servers of networks listen, on each of the machine's addresses there. */
const NAME_SERVICE = 53;
/** All addresses of the machine, in a record. */
const ALL = '*';

/** What is asked for, whole. @throws ProvisionerError `ERR_BAD_OPTION`, `ERR_PORT_IN_USE` */
export function checkedPorts(specs: readonly PortSpec[]): PortSpec[] {
  const seen = new Set<string>();
  for (const { containerPort, hostPort, hostAddress, protocol = 'tcp' } of specs) {
    const isPort = (port: number) => Number.isInteger(port) && port >= 1 && port <= LAST_PORT;
    const isAddress = hostAddress === undefined || isIP(hostAddress) === 4;
    const shown = [hostAddress, hostPort, containerPort].filter((one) => one !== undefined).join(':');
    if (!isPort(containerPort) || !isPort(hostPort ?? 1) || !isAddress || !PROTOCOLS.includes(protocol)) {
      throw new ProvisionerError('ERR_BAD_OPTION', `${shown}/${protocol} cannot be published`, {
        hint: 'ports are 1 to 65535, addresses are IPv4 ones of this machine, protocols tcp, udp and sctp',
        details: { port: shown },
      });
    }
    if (hostPort === undefined) continue;
    if (hostPort === NAME_SERVICE && hostAddress === undefined) {
      throw new ProvisionerError(
        'ERR_PORT_IN_USE',
        'the port 53 of all addresses is that of the name servers of networks',
        {
          hint: 'publish it on one address of this machine: -p ADDRESS:53:53',
          details: { port: shown },
        },
      );
    }
    const name = nameOf({ containerPort, hostPort, hostAddress, protocol });
    if (seen.has(name)) {
      throw new ProvisionerError('ERR_BAD_OPTION', `the port ${hostPort}/${protocol} is to be published twice`, {
        hint: 'publish each port of this machine once',
        details: { port: shown },
      });
    }
    seen.add(name);
  }
  return [...specs];
}

/**
 * Takes ports of this machine for a namespace, and records that. Whether another program has one is seen too, though it may take it later on.
 * @throws ProvisionerError `ERR_PORT_IN_USE`, `ERR_BAD_OPTION`
 */
export async function takePorts(
  provisioner: Provisioner,
  taker: { readonly holder: string; readonly bootId: string },
  specs: readonly PortSpec[],
): Promise<PortMapping[]> {
  const isChosen = specs.map(({ hostPort }) => hostPort === undefined);
  for (let tries = 0; ; tries++) {
    const ports: PortMapping[] = [];
    for (const { containerPort, hostPort, hostAddress, protocol = 'tcp' } of specs) {
      ports.push({ containerPort, hostPort: await portHere(hostPort, hostAddress, protocol), hostAddress, protocol });
    }
    if (rangesOf(ports).length > RULES_MOST) {
      throw new ProvisionerError(
        'ERR_BAD_OPTION',
        `${rangesOf(ports).length} ports that do not follow each other are more than can be published`,
        {
          hint: `publish at most ${RULES_MOST}, or ranges: -p 8000-8099:8000-8099 counts as one`,
          details: { ports: ports.length },
        },
      );
    }
    const taken = await takenOf(provisioner, taker, ports);
    if (taken === undefined) return ports;
    // Of one that was chosen here there may be another.
    if (!isChosen[ports.indexOf(taken)] || tries === TRIES) throw portInUse(taken, 'another container has it');
  }
}

/** @returns undefined when all are this one's now; else one that somebody else has */
async function takenOf(
  { holdings }: Provisioner,
  taker: { readonly holder: string; readonly bootId: string },
  ports: readonly PortMapping[],
): Promise<PortMapping | undefined> {
  if (ports.length === 0) return undefined;
  const names = ports.map(nameOf);
  const { held, taken } = await holdings.take(taker, [{ kind: PORT, names }]);
  if (held !== undefined) return ports[names.indexOf(held[0]?.name ?? '')] ?? ports[0];
  // On all addresses and on one of them it is the same port, under two names. Of two that take them at once the first one has it.
  const others = (await holdings.list({ kind: PORT })).filter(({ holder }) => holder !== taker.holder);
  const clash = taken.findIndex((own) =>
    others.some((other) => isSamePort(own.name, other.name) && isBefore(other, own)),
  );
  if (clash < 0) return undefined;
  await holdings.release(taken);
  return ports[clash];
}

const nameOf = ({ protocol, hostPort, hostAddress = ALL }: PortMapping): string =>
  `${protocol} ${hostPort} ${hostAddress}`;

function isSamePort(one: string, other: string): boolean {
  const [protocol, port, address] = one.split(' ');
  const [otherProtocol, otherPort, otherAddress] = other.split(' ');
  const meet = address === otherAddress || address === ALL || otherAddress === ALL;
  return protocol === otherProtocol && port === otherPort && meet;
}

const isBefore = (one: HoldingRecord, other: HoldingRecord): boolean =>
  one.since < other.since || (one.since === other.since && (one.holder ?? '') < (other.holder ?? ''));

/** Whether somebody listens there shows when one tries to. @returns the port, or one that is free */
async function portHere(port: number | undefined, address: string | undefined, protocol: Protocol): Promise<number> {
  // How one is bound is not known here.
  if (protocol === 'sctp' && port !== undefined) return port;
  try {
    return protocol === 'udp' ? await boundByUdp(port, address) : await boundByTcp(port, address);
  } catch (error) {
    const mapping = { hostPort: port ?? 0, hostAddress: address, protocol };
    const code = systemCode(error);
    if (code === 'EADDRINUSE') throw portInUse(mapping, 'a program of this machine has it', error);
    if (code === 'EADDRNOTAVAIL') {
      throw new ProvisionerError('ERR_BAD_OPTION', `${address} is no address of this machine`, {
        cause: error,
        hint: '`ip address` shows them; without one the port is published on all',
        details: { address: address ?? '' },
      });
    }
    throw error;
  }
}

async function boundByTcp(port = 0, host = '0.0.0.0'): Promise<number> {
  const server = createServer().listen({ port, host, exclusive: true });
  await once(server, 'listening');
  const bound = server.address();
  server.close();
  await once(server, 'close');
  return typeof bound === 'object' && bound !== null ? bound.port : port;
}

async function boundByUdp(port = 0, address = '0.0.0.0'): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind({ port, address, exclusive: true });
  await once(socket, 'listening');
  const bound = socket.address().port;
  socket.close();
  await once(socket, 'close');
  return bound;
}

export function portInUse(
  { hostPort, hostAddress, protocol }: Pick<PortMapping, 'hostPort' | 'hostAddress' | 'protocol'>,
  why: string,
  cause?: unknown,
): ProvisionerError {
  const shown = `${hostAddress === undefined ? '' : `${hostAddress}:`}${hostPort}/${protocol}`;
  return new ProvisionerError('ERR_PORT_IN_USE', `the port ${shown} of this machine is taken: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'choose another one, or leave it out for one that is free: -p CONTAINER-PORT',
    details: { port: shown },
  });
}
