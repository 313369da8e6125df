import type { LaunchNetwork, NetworkInfo, PortMapping } from '../../../containerizer/index.js';

/** As `network ls` and `network inspect` tell it. */
export function networkDocument({ containers, ...network }: NetworkInfo): object {
  return {
    type: 'network',
    name: network.name,
    driver: network.driver ?? null,
    configured: network.isConfigured,
    internal: network.internal ?? null,
    subnet: network.subnet ?? null,
    gateway: network.gateway ?? null,
    interface: network.interface ?? null,
    ready: network.ready,
    problem: network.problem ?? null,
    containers: containers.map(({ containerId, address, ports, names }) => ({
      container: containerId ?? null,
      address: address ?? null,
      names,
      ports: ports.map(portDocument),
    })),
  };
}

/** Of a container that is connected. */
export const connectedDocument = ({ name, address, ports }: LaunchNetwork): object => ({
  name,
  address: address ?? null,
  ports: ports.map(portDocument),
});

export const portDocument = ({ containerPort, hostPort, hostAddress, protocol }: PortMapping): object => ({
  containerPort,
  protocol,
  hostAddress: hostAddress ?? null,
  hostPort,
});
