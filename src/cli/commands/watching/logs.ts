import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { logDocument } from '../../output/documents/launch-document.js';
import { parseSince } from '../../output/parse-since.js';
import { printEntry } from '../../running/follow-output.js';
import { withContainerizer } from '../../running/with-containerizer.js';
import { UsageError } from '../../usage-error.js';

interface LogsFlags {
  readonly follow?: boolean;
  readonly since?: string;
  readonly tail?: string;
  readonly timestamps?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Prints what the program of a container has printed, as far as it was kept.')
    .argument('<container-id>')
    .option('-f, --follow', 'go on until the program has ended')
    .option('--since <time>', 'not what is older: an age such as 10m, or a time such as 2026-01-31T12:00:00Z')
    .option('-n, --tail <n>', 'the last lines only')
    .option('-t, --timestamps', 'when each piece was read, before it')
    .action(async (containerId: string, { follow, since, tail, timestamps = false }: LogsFlags) => {
      const { host } = cli;
      const selection = {
        follow,
        since: since === undefined ? undefined : parseSince(since, '--since'),
        tail: tail === undefined || tail === 'all' ? undefined : lines(tail),
      };
      await cli.withStore((session) =>
        withContainerizer(session, async (containers) => {
          for await (const entry of containers.logs(containerId, { ...selection, signal: session.signal })) {
            const { timestamp } = entry;
            session.output.event(() => logDocument(entry));
            if (session.output.isJson) continue;
            if (timestamps) await printEntry({ ...entry, bytes: Buffer.from(`${timestamp} `) }, host);
            await printEntry(entry, host);
          }
        }),
      );
    });
}

function lines(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new UsageError(
    `--tail: not a number of lines: ${JSON.stringify(text)}`,
    'write --tail 100, or leave it out for all',
  );
}
