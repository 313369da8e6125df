import { throwIfAborted } from '../../base/errors.js';
import type { Attachment, Containerizer, Launched, LogEntry } from '../../containerizer/index.js';
import type { HostProcess } from '../host-process.js';
import { endedDocument } from '../output/documents/launch-document.js';
import type { Session } from '../session.js';
import { DETACH_KEYS } from '../terminal/detach-keys.js';
import { sitDown } from '../terminal/sit-down.js';
import { NO_NETWORK_HINT, PrintedEnds } from './failed-lookup.js';
import { feed, followOutput, handSignalsOn } from './follow-output.js';
import { runStatusOf } from './with-containerizer.js';

/** Feeds a program what comes here, prints what it prints until it has ended, and ends as it did: or before, where it has a terminal that was left. @throws OutputClosed */
export async function attend(
  session: Session,
  containers: Containerizer,
  launched: Launched,
  host: HostProcess,
  sitting: AttendOptions = {},
): Promise<void> {
  const { output, exitWith } = session;
  const { containerId, terminal } = launched;
  if (terminal !== undefined && launched.output !== undefined) {
    return attendTerminal(session, containers, { containerId, terminal, output: launched.output }, host, sitting);
  }
  const feeding = launched.stdin && feed(launched.stdin, host);
  const ends = new PrintedEnds();
  const exit = await followOutput(containers, launched, host, ends).finally(() => feeding?.stop());
  output.document(() => endedDocument(launched.containerId, exit));
  const hasNetwork = launched.network !== undefined || launched.relaxed.includes('network=host');
  if (exit.code !== 0 && !hasNetwork && ends.tellFailedLookup()) output.hint(NO_NETWORK_HINT);
  if (exit.code === undefined && exit.signal === undefined)
    output.hint(`how its program ended is not known: ${exit.reason}`);
  exitWith(runStatusOf(exit));
}

export interface AttendOptions {
  /** What comes here is typed at its terminal. Default: false. */
  readonly isTyping?: boolean;
  /** It is sat at by nobody: only looked at. Default: false. */
  readonly isLookingOn?: boolean;
  /** It reads nothing more when nothing more comes here. Default: true. */
  readonly endsInput?: boolean;
  /** Default: the usual ones. */
  readonly detachKeys?: string | undefined;
}

/** Sits at the terminal of a program until that has ended, and ends as it did; or until it is left: then the program goes on. @throws OutputClosed */
export async function attendTerminal(
  session: Session,
  containers: Containerizer,
  { containerId, ...attached }: Attachment & { readonly containerId: string },
  host: HostProcess,
  { isTyping = false, isLookingOn = false, endsInput = true, detachKeys = DETACH_KEYS }: AttendOptions,
): Promise<void> {
  const output = bytesOf(attached.output);
  // Nobody sits at it who could interrupt it there: what comes to this process is for the program, as without a terminal.
  const isHandedOn = !isTyping && !isLookingOn;
  const signal = isHandedOn ? new AbortController().signal : session.signal;
  const sitting = { ...attached, output, isTyping, isSized: !isLookingOn, endsInput, detachKeys, signal };
  const noMore = isHandedOn
    ? handSignalsOn(host, (name) => containers.kill(containerId, name, { anyOwner: true }))
    : undefined;
  // It is waited for once the output has been printed, or not at all.
  const ended = containers.wait(containerId);
  ended.catch(() => undefined);
  if ((await sitDown(sitting, host).finally(noMore)) !== 'over') {
    // What the program has printed last may not have ended its line.
    if (host.terminal?.size() !== undefined) host.stderr.write('\n');
    session.output.hint(`container ${containerId} goes on: \`provisioner attach ${containerId}\` comes back to it`);
    throwIfAborted(session.signal);
    return;
  }
  const exit = await ended;
  session.output.document(() => endedDocument(containerId, exit));
  if (exit.code === undefined && exit.signal === undefined)
    session.output.hint(`how its program ended is not known: ${exit.reason}`);
  session.exitWith(runStatusOf(exit));
}

async function* bytesOf(entries: AsyncIterable<LogEntry>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { bytes } of entries) yield bytes;
}
