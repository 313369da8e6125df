import type { Command } from 'commander';
import type { ContainerProcess } from '../../../containerizer/index.js';
import type { Cli } from '../../cli.js';
import { processDocument } from '../../output/documents/launch-document.js';
import { withContainerizer } from '../../running/with-containerizer.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Lists the processes of a container, as the kernel has them: the image needs no ps.')
    .argument('<container-id>')
    .action(async (containerId: string) => {
      await cli.withStore((session) =>
        withContainerizer(session, async (containers) => {
          const processes = await containers.processes(containerId);
          session.output.table(
            ['PID', 'PID INSIDE', 'USER', 'STATE', 'CPU TIME', 'ELAPSED', 'COMMAND'],
            processes.map(row),
          );
          session.output.document(() => processes.map(processDocument));
        }),
      );
    });
}

function row({ pid, pidInside, uid, user, state, cpuTime, elapsed, name, command }: ContainerProcess): string[] {
  return [
    String(pid),
    String(pidInside ?? '-'),
    user ?? String(uid),
    state,
    `${(cpuTime / 1e9).toFixed(2)} s`,
    `${Math.floor(elapsed / 1000)} s`,
    command.length > 0 ? command.join(' ') : `[${name}]`,
  ];
}
