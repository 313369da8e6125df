import type { Command } from 'commander';
import type { HealthSpec, LaunchOptions } from '../../../containerizer/index.js';
import { UsageError } from '../../usage-error.js';

/** How it is found out whether a program does what it is there for; names and meanings as Docker and podman have them. */
export interface HealthFlags {
  readonly healthCmd?: string;
  readonly healthInterval?: string;
  readonly healthTimeout?: string;
  readonly healthStartPeriod?: string;
  readonly healthStartInterval?: string;
  readonly healthRetries?: string;
  readonly healthOnFailure?: string;
  /** False where `--no-healthcheck` is given. */
  readonly healthcheck?: boolean;
}

const SHELL = ['/bin/sh', '-c'] as const;

export function addHealthFlags(command: Command): void {
  command
    .option(
      '--health-cmd <command>',
      'what says whether it is healthy, by exit status 0: for /bin/sh, or a JSON list of a program and its arguments (default: as the image says)',
    )
    .option('--health-interval <time>', 'between two checks, such as 10s or 500ms (default: 30s)')
    .option('--health-timeout <time>', 'until a check is killed, and has failed (default: 30s)')
    .option('--health-retries <n>', 'so many failures in a row make it unhealthy (default: 3)')
    .option('--health-start-period <time>', 'since the start, in which failures do not count (default: 0s)')
    .option(
      '--health-start-interval <time>',
      'between two checks in that time (default: 5s, or the interval where that is shorter)',
    )
    .option('--health-on-failure <action>', 'when it becomes unhealthy: none, kill or stop (default: none)')
    .option('--no-healthcheck', 'no check, whatever the image says');
}

/** @throws UsageError */
export function healthOf(flags: HealthFlags): Pick<LaunchOptions, 'health'> {
  const { healthCmd, healthOnFailure, healthcheck = true } = flags;
  const asked: HealthSpec = {
    ...commandOf(healthCmd),
    ...timeOf('interval', flags.healthInterval, '--health-interval'),
    ...timeOf('timeout', flags.healthTimeout, '--health-timeout'),
    ...timeOf('startPeriod', flags.healthStartPeriod, '--health-start-period'),
    ...timeOf('startInterval', flags.healthStartInterval, '--health-start-interval'),
    ...retriesOf(flags.healthRetries),
    ...actionOf(healthOnFailure),
  };
  const isAsked = Object.keys(asked).length > 0;
  const isNone = !healthcheck || isWordForNone(healthCmd);
  if (isNone && isAsked) {
    const [word, others] = healthcheck ? [`--health-cmd ${healthCmd}`, 'others'] : ['--no-healthcheck', 'options'];
    throw new UsageError(`${word} does not go with ${others} of a check`, 'leave out the one, or the others');
  }
  if (isNone) return { health: false };
  return isAsked ? { health: asked } : {};
}

/** Docker's and podman's, as images have it too. */
const isWordForNone = (text = ''): boolean => /^(?:none|\[\s*"none"\s*\])$/i.test(text);

/** A list may begin with Docker's words for what it is. */
function commandOf(text: string | undefined): Pick<HealthSpec, 'command'> {
  if (text === undefined || text === '' || isWordForNone(text)) return {};
  const words = listOf(text);
  if (words === undefined) return { command: [...SHELL, text] };
  const [kind, ...rest] = words;
  const named = kind === 'CMD' ? rest : words;
  const command = kind === 'CMD-SHELL' && rest.length > 0 ? [...SHELL, rest.join(' ')] : named;
  if (command[0] !== undefined && command[0] !== '' && command[0] !== 'CMD-SHELL') return { command };
  throw new UsageError(
    `--health-cmd: there is no program in ${JSON.stringify(text)}`,
    'write one, such as ["/bin/check", "--fast"]',
  );
}

/** @returns undefined for a text that is none */
function listOf(text: string): readonly string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((word) => typeof word === 'string') ? list : undefined;
  } catch {
    // It is a test of the shell: `[ -e /ready ]`.
    return undefined;
  }
}

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const LONGEST = 2 ** 31 - 1;

/** 0 is as if it were left out. @throws UsageError also for what is shorter than a millisecond, or longer than a timer waits */
function timeOf<Name extends keyof HealthSpec>(name: Name, text: string | undefined, option: string): HealthSpec {
  if (text === undefined) return {};
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)/g)];
  const isBare = /^[0-9]+(?:\.[0-9]+)?$/.test(text);
  if (!isBare && (parts.length === 0 || parts.map(([part]) => part).join('') !== text)) {
    throw new UsageError(`${option}: not a time: ${JSON.stringify(text)}`, 'write a time such as 30s, 500ms or 1m30s');
  }
  const sum = (all: number, [, number, unit]: RegExpMatchArray) =>
    all + Number(number) * (UNITS[unit as string] as number);
  const milliseconds = isBare ? Number(text) * 1000 : parts.reduce(sum, 0);
  if (milliseconds === 0) return {};
  if (milliseconds >= 1 && milliseconds <= LONGEST) return { [name]: Math.round(milliseconds) };
  throw new UsageError(
    `${option}: ${text} is ${milliseconds < 1 ? 'less than a millisecond' : 'more than 24 days'}`,
    'write a time from 1ms to 24d',
  );
}

function retriesOf(text: string | undefined): Pick<HealthSpec, 'retries'> {
  if (text === undefined || text === '0') return {};
  if (/^[1-9][0-9]{0,5}$/.test(text)) return { retries: Number(text) };
  throw new UsageError(
    `--health-retries: not a number from 1 to 999999: ${JSON.stringify(text)}`,
    'write --health-retries 3, for instance',
  );
}

function actionOf(text: string | undefined): Pick<HealthSpec, 'onFailure'> {
  if (text === undefined) return {};
  if (text === 'none' || text === 'kill' || text === 'stop') return { onFailure: text };
  if (text === 'restart') {
    throw new UsageError(
      '--health-on-failure restart: nothing here starts a program again, since nothing here runs all the time',
      'write kill, and let systemd do it: a unit with Restart= whose ExecStart= is `provisioner run --rm …`, without -d',
    );
  }
  throw new UsageError(`--health-on-failure: not an action: ${JSON.stringify(text)}`, 'there are: none, kill, stop');
}
