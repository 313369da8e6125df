import type { Command } from 'commander';
import type { PoolReport } from '../../../warm-pool/index.js';
import type { Cli } from '../../cli.js';
import { poolDocument } from '../../output/documents/pool-document.js';
import { formatAge, formatDuration } from '../../output/human-units.js';

export function define(command: Command, cli: Cli): void {
  command.description(
    'Pools keep containers ready before they are asked for. A program that has embedded this one keeps them; what waits in them is recorded, and stays when it ends.',
  );
  command
    .command('status')
    .summary('show the pools of all owners')
    .description(
      'Shows the pools of all owners: how many containers are ready and are to be, how many are being made, how often one was ready and was not, and how long it takes to make one. The numbers are those which whoever keeps the pool has told about a second ago.',
    )
    .action(async () => {
      await cli.withStore(async ({ provisioner, output }) => {
        // Not by way of the pools: what keeps them is not needed for it.
        const { poolRecords } = await import('../../../containerizer/index.js');
        const pools = (await poolRecords(provisioner)) as readonly PoolReport[];
        const now = Date.now();
        output.table(
          [
            'POOL',
            'OWNER',
            'KIND',
            'IMAGE',
            'STATE',
            'READY',
            'MAKING',
            'HITS',
            'MISSES',
            'ERRORS',
            'TO MAKE',
            'OLDEST',
          ],
          pools.map((pool) => rowOf(pool, now)),
        );
        output.document(() => pools.map(poolDocument));
      });
    });
}

function rowOf({ pool, owner, containers, isKept, status }: PoolReport, now: number): string[] {
  const oldest = Math.min(...containers.map(({ since }) => since));
  const age = containers.length === 0 ? '-' : formatAge(now - oldest);
  const [first] = containers;
  if (status === undefined) {
    return [
      pool,
      owner,
      first?.kind ?? '-',
      '-',
      stateOf(isKept),
      String(containers.length),
      '-',
      '-',
      '-',
      '-',
      '-',
      age,
    ];
  }
  const { kind, image, target, creators, hits, misses, recentErrors, creationTime } = status;
  return [
    ...[pool, owner, kind, image, stateOf(isKept, status), `${containers.length}/${target}`],
    ...[isKept ? creators : '-', hits, misses, recentErrors].map(String),
    creationTime === undefined ? '-' : formatDuration(creationTime.median),
    age,
  ];
}

function stateOf(isKept: boolean, status?: PoolReport['status']): string {
  if (!isKept) return 'not kept';
  if (status?.throttledUntil !== undefined) return 'throttled';
  return status?.isHeldBack === true ? 'held back' : 'kept';
}
