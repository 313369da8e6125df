import { foldKeys } from '../base/fold-keys.js';

const KEYS = ['Test', 'Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const;

/** What an image says of how its program is looked after. What it leaves to whoever runs it is not there; times are milliseconds. */
export interface Healthcheck {
  /** A program of the image and its arguments. */
  readonly command: readonly string[];
  readonly interval?: number;
  readonly timeout?: number;
  readonly startPeriod?: number;
  readonly startInterval?: number;
  readonly retries?: number;
}

/** What understands one text as a program. */
const SHELL = ['/bin/sh', '-c'] as const;

/** What a timer can wait. */
const LONGEST = 2 ** 31 - 1;
const NANOSECONDS = 1e6;

/**
 * @param section `Healthcheck` of an image config, in nanoseconds: `{ Test: ['NONE' | 'CMD' | 'CMD-SHELL', …], Interval, … }`
 * @returns undefined where it asks for no check, or for none that anybody knows
 * @see Docker image specification v1.2, "Healthcheck"
 */
export function healthcheckOf(section: unknown): Healthcheck | undefined {
  if (typeof section !== 'object' || section === null || Array.isArray(section)) return undefined;
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = foldKeys<
    Partial<Record<(typeof KEYS)[number], unknown>>
  >(section, KEYS);
  const command = commandOf(Test);
  if (command === undefined) return undefined;
  return {
    command,
    ...time('interval', Interval),
    ...time('timeout', Timeout),
    ...time('startPeriod', StartPeriod),
    ...time('startInterval', StartInterval),
    ...(Number.isSafeInteger(Retries) && (Retries as number) > 0 ? { retries: Retries as number } : {}),
  };
}

function commandOf(test: unknown): readonly string[] | undefined {
  if (!Array.isArray(test)) return undefined;
  const [kind, ...words] = test.map((word) => (typeof word === 'string' ? word : ''));
  const [first = ''] = words;
  if (first === '') return undefined;
  if (kind === 'CMD') return words;
  return kind === 'CMD-SHELL' ? [...SHELL, first] : undefined;
}

/** What is shorter than a millisecond no timer keeps; 0 is unsaid. */
function time<Name extends string>(name: Name, value: unknown): { readonly [Key in Name]?: number } {
  if (typeof value !== 'number' || !(value >= NANOSECONDS)) return {};
  return { [name]: Math.min(Math.round(value / NANOSECONDS), LONGEST) } as { readonly [Key in Name]?: number };
}
