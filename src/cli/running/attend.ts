import type { Containerizer, Launched } from '../../containerizer/index.js';
import type { HostProcess } from '../host-process.js';
import { endedDocument } from '../output/documents/launch-document.js';
import type { Session } from '../session.js';
import { NO_NETWORK_HINT, PrintedEnds } from './failed-lookup.js';
import { feed, followOutput } from './follow-output.js';
import { runStatusOf } from './with-containerizer.js';

/** Feeds a program what comes here, prints what it prints until it has ended, and ends as it did. @throws OutputClosed */
export async function attend(
  { output, exitWith }: Session,
  containers: Containerizer,
  launched: Launched,
  host: HostProcess,
): Promise<void> {
  const feeding = launched.stdin && feed(launched.stdin, host);
  const ends = new PrintedEnds();
  const exit = await followOutput(containers, launched, host, ends).finally(() => feeding?.stop());
  output.document(() => endedDocument(launched.containerId, exit));
  const hasNetwork = launched.relaxed.includes('network=host');
  if (exit.code !== 0 && !hasNetwork && ends.tellFailedLookup()) output.hint(NO_NETWORK_HINT);
  if (exit.code === undefined && exit.signal === undefined)
    output.hint(`how its program ended is not known: ${exit.reason}`);
  exitWith(runStatusOf(exit));
}
