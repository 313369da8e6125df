import type { Command } from 'commander';
import type { Containerizer, LaunchCondition } from '../../../containerizer/index.js';
import type { Cli } from '../../cli.js';
import { endedDocument, reachedDocument } from '../../output/documents/launch-document.js';
import { runStatusOf, withContainerizer } from '../../running/with-containerizer.js';
import type { Session } from '../../session.js';
import { UsageError } from '../../usage-error.js';

interface WaitFlags {
  readonly condition: readonly string[];
}

/** By the words for them; the last one is Docker's and podman's. */
const CONDITIONS: Readonly<Record<string, LaunchCondition>> = {
  exited: 'exited',
  healthy: 'healthy',
  unhealthy: 'unhealthy',
  running: 'running',
  paused: 'paused',
  stopped: 'exited',
};

const all = (value: string, others: readonly string[]) => [...others, value];

export function define(command: Command, cli: Cli): void {
  command
    .description('Waits until the programs of containers have ended, and prints the exit status of each.')
    .argument('<container-id...>')
    .option(
      '--condition <condition>',
      `wait for this instead, and print it: ${Object.keys(CONDITIONS).join(', ')}; may be repeated: for the first of them`,
      all,
      [],
    )
    .addHelpText(
      'after',
      `
One that ends before it is as it is waited for is an error. While it is waited for, health is checked here where nobody else does.

Example:
  provisioner run -d --name web --health-cmd 'wget -qO- localhost' --health-interval 1s web:2 && provisioner wait --condition healthy web`,
    )
    .action(async (containerIds: string[], { condition }: WaitFlags) => {
      const conditions = condition.map(conditionOf);
      await cli.withStore((session) =>
        withContainerizer(session, (containers) =>
          conditions.length === 0
            ? untilEnded(session, containers, containerIds)
            : untilReached(session, containers, containerIds, conditions),
        ),
      );
    });
}

async function untilEnded(
  { output, signal, eachAtOnce }: Session,
  containers: Containerizer,
  containerIds: readonly string[],
): Promise<void> {
  // At once: one that goes with its end would be gone when its turn comes.
  const wait = (id: string) => containers.wait(id, { signal });
  const exits = await eachAtOnce(containerIds, wait, (exit, id) => {
    output.line(String(runStatusOf(exit)));
    return endedDocument(id, exit);
  });
  output.document(() => exits);
}

/** What has ended is told by its exit status, as ever. */
async function untilReached(
  { output, signal, eachAtOnce }: Session,
  containers: Containerizer,
  containerIds: readonly string[],
  conditions: readonly LaunchCondition[],
): Promise<void> {
  const wait = (id: string) => containers.waitUntil(id, conditions, { signal });
  const reached = await eachAtOnce(containerIds, wait, (one, id) => {
    const { exit } = one.launch;
    output.line(one.condition === 'exited' && exit !== undefined ? String(runStatusOf(exit)) : one.condition);
    return reachedDocument(id, one);
  });
  output.document(() => reached);
}

function conditionOf(text: string): LaunchCondition {
  if (Object.hasOwn(CONDITIONS, text)) return CONDITIONS[text] as LaunchCondition;
  throw new UsageError(
    `--condition: there is no ${JSON.stringify(text)} that could be waited for`,
    `there are: ${Object.keys(CONDITIONS).join(', ')}`,
  );
}
