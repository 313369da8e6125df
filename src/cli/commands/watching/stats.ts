import type { Command } from 'commander';
import { isProvisionerError } from '../../../base/errors.js';
import type { ContainerStats } from '../../../containerizer/index.js';
import type { Cli } from '../../cli.js';
import { statsDocument } from '../../output/documents/launch-document.js';
import { formatSize } from '../../output/human-units.js';
import { withContainerizer } from '../../running/with-containerizer.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Shows what containers take: memory, processor time so far, processes.')
    .argument('[container-id...]', 'default: all that run')
    .action(async (containerIds: string[]) => {
      await cli.withStore((session) =>
        withContainerizer(session, async (containers) => {
          const { output, each } = session;
          const running = async () =>
            (await containers.list()).filter(({ state }) => state === 'running' || state === 'paused');
          const ids = containerIds.length > 0 ? containerIds : (await running()).map(({ containerId }) => containerId);
          const found = await each(ids, async (id) => {
            try {
              return [{ id, stats: await containers.stats(id) }];
            } catch (error) {
              // One that has ended since it was listed is none of those that run.
              if (
                containerIds.length === 0 &&
                isProvisionerError(error, 'ERR_CONTAINER_NOT_RUNNING', 'ERR_CONTAINER_NOT_FOUND')
              )
                return [];
              throw error;
            }
          });
          const rows = found.flat();
          output.table(
            ['CONTAINER', 'MEMORY', 'LIMIT', 'PEAK', 'CPU TIME', 'PROCESSES', 'OOM KILLS'],
            rows.map(({ id, stats }) => row(id, stats)),
          );
          output.document(() => rows.map(statsDocument));
        }),
      );
    });
}

function row(id: string, stats: ContainerStats): string[] {
  const size = (bytes: number | undefined) => (bytes === undefined ? '-' : formatSize(bytes));
  return [
    id,
    size(stats.memory),
    size(stats.memoryLimit),
    size(stats.peakMemory),
    stats.cpuTime === undefined ? '-' : `${(stats.cpuTime / 1e9).toFixed(2)} s`,
    `${stats.processes ?? '-'}${stats.processLimit === undefined ? '' : ` of ${stats.processLimit}`}`,
    String(stats.oomKills),
  ];
}
