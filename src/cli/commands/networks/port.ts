import type { Command } from 'commander';
import { ProvisionerError } from '../../../base/errors.js';
import type { Cli } from '../../cli.js';
import { portDocument } from '../../output/documents/network-document.js';
import { withContainerizer } from '../../running/with-containerizer.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Shows the ports of this machine that lead to a container: of its own port, and where it is reached.')
    .argument('<container-id>')
    .argument('[port]', 'of the container, such as 80 or 53/udp: this one alone')
    .action(async (containerId: string, wanted?: string) => {
      await cli.withStore((session) =>
        withContainerizer(session, async (containers) => {
          const launch = await containers.get(containerId);
          if (launch === undefined) {
            throw new ProvisionerError('ERR_CONTAINER_NOT_FOUND', `there is no container ${containerId}`, {
              hint: '`provisioner ps` shows what there is',
              details: { containerId },
            });
          }
          const all = launch.network?.ports ?? [];
          const ports = all.filter(
            ({ containerPort, protocol }) =>
              wanted === undefined ||
              [`${containerPort}/${protocol}`, ...(protocol === 'tcp' ? [String(containerPort)] : [])].includes(wanted),
          );
          for (const { containerPort, protocol, hostAddress = '0.0.0.0', hostPort } of ports) {
            session.output.line(`${containerPort}/${protocol} -> ${hostAddress}:${hostPort}`);
          }
          session.output.document(() => ports.map(portDocument));
        }),
      );
    });
}
