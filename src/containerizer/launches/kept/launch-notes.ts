import type { ImageId, LaunchRecord } from '../../../index.js';
import type { DiskLimit, IsolatedSpec, Leased } from '../../isolators/isolator.js';
import type { PortMapping } from '../../networks/network.js';
import type { RuntimeName } from '../../runtime/oci-runtime.js';
import type { Exit } from './exit.js';

/** What the records keep of what was asked for: no values of variables, since these may be secrets. */
export interface LaunchSpecNote {
  readonly imageName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly relaxed: readonly string[];
  /** Milliseconds; undefined for no limit. */
  readonly timeout?: number | undefined;
  /** Default: false. */
  readonly terminal?: boolean | undefined;
  /** In a container that has run before, which stays whatever becomes of this launch. */
  readonly again?: boolean | undefined;
}

/** A network that a container is connected to. */
export interface LaunchNetwork {
  readonly name: string;
  /** Of the container there; undefined where it is not known. */
  readonly address?: string | undefined;
  /** Those of this machine that lead to it. */
  readonly ports: readonly PortMapping[];
}

/** What the records keep of what became of it: all that finds it again. */
export interface LaunchPlaceNote {
  readonly runtime: RuntimeName;
  readonly stateRoot: string;
  /** As `linux.cgroupsPath`. */
  readonly cgroupsPath: string;
  readonly image?: ImageId | undefined;
  readonly command?: readonly string[] | undefined;
  readonly stopSignal?: string | undefined;
  readonly leased?: Leased | undefined;
  readonly diskLimit?: DiskLimit | undefined;
  /** Somebody is to look whether it is healthy. Default: false. */
  readonly checked?: boolean | undefined;
  readonly pid?: number | undefined;
  readonly network?: LaunchNetwork | undefined;
  /** In ticks, a decimal number: with the pid it names the program for good. */
  readonly startTicks?: string | undefined;
}

/** Whether a launch was made by a containerizer like this one: others may record theirs in the same place, and only they know what to make of them. */
export function isOwnLaunch({ spec, place }: LaunchRecord): boolean {
  try {
    const { imageName } = Object(JSON.parse(spec)) as Partial<LaunchSpecNote>;
    const { runtime, cgroupsPath } = Object(JSON.parse(place ?? 'null')) as Partial<LaunchPlaceNote>;
    return typeof imageName === 'string' && typeof runtime === 'string' && typeof cgroupsPath === 'string';
  } catch {
    return false;
  }
}

/** @throws SyntaxError for what this release did not write */
export const readSpecNote = (text: string): LaunchSpecNote => JSON.parse(text) as LaunchSpecNote;
/** @throws SyntaxError for what this release did not write */
export const readPlaceNote = (text: string | undefined): LaunchPlaceNote | undefined =>
  text === undefined ? undefined : (JSON.parse(text) as LaunchPlaceNote);
/** @throws SyntaxError for what this release did not write */
export const readExitNote = (text: string | undefined): Exit | undefined =>
  text === undefined ? undefined : (JSON.parse(text) as Exit);

/** Whether it is not known of a launch that it ever had a program, also where what has begun does not die. */
export const isHalfStarted = ({ state, place }: LaunchRecord): boolean =>
  state === 'starting' || (state === 'undead' && readPlaceNote(place)?.pid === undefined);

/** Words and their lengths that the records keep of a command, which may be a whole script. */
const WORDS_SHOWN = 32;
const WORD_SHOWN = 200;

/** What of a command is kept to be shown. */
export function shownCommand(command: readonly string[]): string[] {
  const words = command
    .slice(0, WORDS_SHOWN)
    .map((word) => (word.length > WORD_SHOWN ? `${word.slice(0, WORD_SHOWN)}…` : word));
  return command.length > WORDS_SHOWN ? [...words, '…'] : words;
}

/** What isolators have given to a launch, as far as it is recorded with it. */
export function isolationNote({
  network,
  leased,
  diskLimit,
}: IsolatedSpec): Pick<LaunchPlaceNote, 'network' | 'leased' | 'diskLimit'> {
  return {
    ...(network && { network: { name: network.name, address: network.address, ports: network.ports } }),
    ...(leased && { leased }),
    ...(diskLimit && { diskLimit }),
  };
}
