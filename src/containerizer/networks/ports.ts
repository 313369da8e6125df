import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIP } from 'node:net';
import { ProvisionerError, systemCode } from '../../base/errors.js';
import type { HoldingRecord, Provisioner } from '../../index.js';
import { PORT } from './connection-note.js';
import { type PortMapping, type PortSpec, PROTOCOLS, type Protocol } from './network.js';

const LAST_PORT = 65_535;
/** Free ports that are tried until one is taken by nobody else meanwhile. */
const TRIES = 20;
/** All addresses of the machine, in a record. */
const ALL = '*';

/** What is asked for, whole. @throws ProvisionerError `ERR_BAD_OPTION` */
export function checkedPorts(specs: readonly PortSpec[]): PortSpec[] {
  for (const { containerPort, hostPort = 1, hostAddress, protocol = 'tcp' } of specs) {
    const isPort = (port: number) => Number.isInteger(port) && port >= 1 && port <= LAST_PORT;
    const isAddress = hostAddress === undefined || isIP(hostAddress) === 4;
    if (isPort(containerPort) && isPort(hostPort) && isAddress && PROTOCOLS.includes(protocol)) continue;
    const shown = [hostAddress, hostPort, containerPort].filter((one) => one !== undefined).join(':');
    throw new ProvisionerError('ERR_BAD_OPTION', `${shown}/${protocol} cannot be published`, {
      hint: 'ports are 1 to 65535, addresses are IPv4 ones of this machine, protocols tcp, udp and sctp',
      details: { port: shown },
    });
  }
  return [...specs];
}

/**
 * Takes ports of this machine for a namespace, and records that. Whether another program has one is seen too, though it may take it later on.
 * @throws ProvisionerError `ERR_PORT_IN_USE`
 */
export async function takePorts(
  provisioner: Provisioner,
  taker: { readonly holder: string; readonly bootId: string },
  specs: readonly PortSpec[],
): Promise<PortMapping[]> {
  const ports: PortMapping[] = [];
  for (const spec of specs) ports.push(await takePort(provisioner, taker, spec));
  return ports;
}

async function takePort(
  provisioner: Provisioner,
  taker: { readonly holder: string; readonly bootId: string },
  { containerPort, hostPort, hostAddress, protocol = 'tcp' }: PortSpec,
): Promise<PortMapping> {
  for (let tries = 0; ; tries++) {
    const port = await portHere(hostPort, hostAddress, protocol);
    const mapping = { containerPort, hostPort: port, hostAddress, protocol };
    const holder = await takenBy(provisioner, taker, mapping);
    if (holder === undefined) return mapping;
    // Of one that was chosen here there may be another.
    if (hostPort !== undefined || tries === TRIES) throw inUse(mapping, 'another container has it');
  }
}

/** @returns undefined when it is this one's now; else who has it */
async function takenBy(
  { holdings }: Provisioner,
  taker: { readonly holder: string; readonly bootId: string },
  { hostPort, hostAddress = ALL, protocol }: PortMapping,
): Promise<HoldingRecord | undefined> {
  const stem = `${protocol} ${hostPort} `;
  const { held, taken } = await holdings.take(taker, [{ kind: PORT, names: [`${stem}${hostAddress}`] }]);
  if (held !== undefined) return held[0];
  const own = taken[0];
  const others = (await holdings.list({ kind: PORT })).filter(
    ({ name }) => name.startsWith(stem) && name !== own?.name && (hostAddress === ALL || name === `${stem}${ALL}`),
  );
  const [other] = others;
  if (other !== undefined) await holdings.release(taken);
  return other;
}

/** Whether somebody listens there shows when one tries to. @returns the port, or one that is free */
async function portHere(port: number | undefined, address: string | undefined, protocol: Protocol): Promise<number> {
  try {
    return protocol === 'udp' ? await boundByUdp(port, address) : await boundByTcp(port, address);
  } catch (error) {
    const mapping = { hostPort: port ?? 0, hostAddress: address, protocol };
    const code = systemCode(error);
    if (code === 'EADDRINUSE') throw inUse(mapping, 'a program of this machine has it', error);
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

function inUse(
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
