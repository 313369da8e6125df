import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { eventDocument } from '../../output/documents/launch-document.js';
import { parseSince } from '../../output/parse-since.js';
import { terminalJson, terminalText } from '../../output/terminal-text.js';
import { eventFilter, eventLine } from '../../running/event-text.js';
import { OutputClosed, printLine } from '../../running/follow-output.js';
import { withContainerizer } from '../../running/with-containerizer.js';

interface EventsFlags {
  readonly since?: string;
  readonly until?: string;
  readonly filter: readonly string[];
  readonly stream: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Shows what happens to containers, whichever process does it, until it is interrupted.')
    .option(
      '--since <time>',
      'what was from then on, first: an age such as 10m, or a time such as 2026-01-31T12:00:00Z',
    )
    .option('--until <time>', 'what was until then, and end then')
    .option(
      '-f, --filter <key=value>',
      'only such events: container, event, image, label or owner; may be repeated',
      (value: string, others: readonly string[]) => [...others, value],
      [],
    )
    .option('--no-stream', 'print what is recorded, and end')
    .addHelpText(
      'after',
      `
Filters of one key: one of them must fit; of labels, and of several keys, all.

Examples:
  provisioner events --since 1h --filter event=exit --filter event=oom
  provisioner events --json --filter label=job=17`,
    )
    .action(async ({ since, until, filter, stream }: EventsFlags) => {
      const isWanted = eventFilter(filter);
      const selection = {
        since: since === undefined ? undefined : parseSince(since, '--since'),
        until: until === undefined ? undefined : parseSince(until, '--until'),
        follow: stream,
      };
      await cli.withStore((session) =>
        withContainerizer(session, async (containers) => {
          const { output, signal } = session;
          try {
            for await (const event of containers.events({ ...selection, signal })) {
              if (!isWanted(event)) continue;
              const line = output.isJson
                ? terminalJson(JSON.stringify(eventDocument(event)))
                : terminalText(eventLine(event));
              await printLine(line, cli.host);
            }
          } catch (error) {
            if (!(error instanceof OutputClosed)) throw error;
            session.exitWith(error.exitStatus);
          }
        }),
      );
    });
}
