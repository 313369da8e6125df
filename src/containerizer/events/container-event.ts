import type { LaunchNote, LaunchRecord } from '../../index.js';
import type { Machine } from '../machine.js';

/**
 * | kind | what has happened | details |
 * |---|---|---|
 * | `create` | the first launch of a container was recorded; its root filesystem is made next | `forkOf`, of a fork: the id of the other container |
 * | `start` | its program runs | `imageId` |
 * | `start-failed` | it was never started | `message` |
 * | `oom` | the kernel killed something of it for want of memory; told with its end | `oomKills` |
 * | `exit` | its program has ended | the exit |
 * | `pause`, `resume` | its processes stand still, and go on | |
 * | `update` | limits were changed | the limits |
 * | `kill` | a signal was sent | `signal`, its number |
 * | `stop` | it was asked to end | `grace` in milliseconds |
 * | `undead` | it was killed, and something of it does not die | `processes` |
 * | `exec-start` | a program more was started in it | `exec`, which the two have in common, and `program`, without its arguments |
 * | `exec-end` | that has ended; not told where whoever started it died before | `exec`, `code`, `signal`, `reason` |
 * | `health` | it has become healthy, or is so no more | `status`, and `failingStreak` |
 * | `destroy` | the container is gone | |
 */
export type ContainerEventKind =
  | 'create'
  | 'start'
  | 'start-failed'
  | 'oom'
  | 'exit'
  | 'pause'
  | 'resume'
  | 'update'
  | 'kill'
  | 'stop'
  | 'undead'
  | 'exec-start'
  | 'exec-end'
  | 'health'
  | 'destroy';

/** What has happened to a container. No values of variables and no secrets are in it. */
export interface ContainerEvent {
  /** Grows from event to event, whatever the clock does. */
  readonly sequence: number;
  /** When it was recorded, in milliseconds since the epoch. */
  readonly at: number;
  /** One of `ContainerEventKind`, or of a later release. */
  readonly kind: string;
  readonly containerId: string;
  /** 32 hex digits. */
  readonly launchId: string | undefined;
  readonly owner: string;
  /** As it was asked for; undefined where nothing is known of the launch any more. */
  readonly imageName: string | undefined;
  /** Those of the launch, as far as they are known. */
  readonly labels: Readonly<Record<string, string>>;
  /** What there is to say of such an event: see `ContainerEventKind`. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface EventSelection {
  /** What was recorded from then on, first. Default: all that is kept where `follow` is false or `until` is given, else only what happens from the call on. */
  readonly since?: Date | undefined;
  /** What was recorded until then, and ends then. Default: no end. */
  readonly until?: Date | undefined;
  /** Goes on with what happens, until the signal says that it is enough. Default: false. */
  readonly follow?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Longer texts, and lists, are cut: an event is no place for a whole script. */
const TEXT_SHOWN = 500;
const LIST_SHOWN = 32;
/** Of all details as JSON, in characters; as the records have it. */
const DETAILS_MAX = 4096;

/** An event as it is recorded. Details for which there is no room are left out. */
export function eventNote(kind: ContainerEventKind, details?: object): LaunchNote {
  if (details === undefined) return { kind };
  const text = JSON.stringify(details, (_, value: unknown) => cut(value));
  return text.length > DETAILS_MAX ? { kind } : { kind, details: text };
}

/** Records what is done to a container. That is done also where it cannot be recorded: on a full disk, for instance. */
export async function noteEvent(
  { provisioner }: Pick<Machine, 'provisioner'>,
  { containerId, id: launchId, owner }: LaunchRecord,
  kind: ContainerEventKind,
  details?: object,
): Promise<void> {
  const note = { ...eventNote(kind, details), containerId, launchId, owner };
  await provisioner.launches.note(note).catch(() => undefined);
}

function cut(value: unknown): unknown {
  if (typeof value === 'string' && value.length > TEXT_SHOWN) return `${value.slice(0, TEXT_SHOWN)}…`;
  return Array.isArray(value) ? value.slice(0, LIST_SHOWN) : value;
}
