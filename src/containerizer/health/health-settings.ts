import { ProvisionerError } from '../../base/errors.js';
import type { Healthcheck } from '../../index.js';

/** What is done to a container that is no longer healthy. */
export const HEALTH_ACTIONS = ['none', 'kill', 'stop'] as const;
export type HealthAction = (typeof HEALTH_ACTIONS)[number];

/** How somebody finds out whether the program of a container does what it is there for. What is left out is as the image says, or else as Docker has it. Times are whole milliseconds, at least 1. */
export interface HealthSpec {
  /** A program of the container and its arguments; it is healthy where that ends with 0. Run as `exec` does, with the program's own user, environment and working directory. */
  readonly command?: readonly string[] | undefined;
  /** From the start, or the end of a check, to the next one. Default: 30 000. */
  readonly interval?: number | undefined;
  /** Until a check that has not ended is killed, with all that it has started, and has failed. Default: 30 000. */
  readonly timeout?: number | undefined;
  /** Since the start: failures of what has not been healthy yet do not count. 0 for none. Default: 0. */
  readonly startPeriod?: number | undefined;
  /** In place of the interval, in the start period and while it has not been healthy. Default: 5000, or the interval where that is shorter. */
  readonly startInterval?: number | undefined;
  /** So many failures in a row make it unhealthy. Default: 3. */
  readonly retries?: number | undefined;
  /** What is done when it becomes unhealthy. Default: `none`. */
  readonly onFailure?: HealthAction | undefined;
}

/** What a container is held to, nothing left out. */
export interface HealthSettings {
  readonly command: readonly string[];
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly startInterval: number;
  readonly retries: number;
  readonly onFailure: HealthAction;
}

/** @see Docker, "HEALTHCHECK" */
const DEFAULTS: Omit<HealthSettings, 'command' | 'startInterval'> = {
  interval: 30_000,
  timeout: 30_000,
  startPeriod: 0,
  retries: 3,
  onFailure: 'none',
};

/** Nobody who asks for a check each second means to wait longer for the first. */
const START_INTERVAL = 5000;

/**
 * @param asked false for no check, whatever the image says @param image what that says
 * @returns undefined where nothing is to be checked
 * @throws ProvisionerError `ERR_BAD_OPTION` for what is to be checked how, where neither says what
 */
export function healthSettings(
  asked: HealthSpec | false | undefined,
  image: Healthcheck | undefined,
): HealthSettings | undefined {
  if (asked === false) return undefined;
  const given = Object.fromEntries(Object.entries(asked ?? {}).filter(([, value]) => value !== undefined));
  const settings: Omit<HealthSettings, 'startInterval'> & HealthSpec = { ...DEFAULTS, command: [], ...image, ...given };
  const { command, startInterval = Math.min(START_INTERVAL, settings.interval) } = settings;
  if (command.length > 0 && command[0] !== '') return { ...settings, startInterval };
  if (Object.keys(given).length === 0) return undefined;
  throw new ProvisionerError(
    'ERR_BAD_OPTION',
    'health: there is no command that could be run, nor does the image say one',
    {
      hint: 'give a health command too',
      details: { option: 'health' },
    },
  );
}
