import { ProvisionerError } from '../errors.js';

/*
 * Options from outside are looked at when they come: in JavaScript nobody else does, and an option that is misspelt is one that does nothing. By hand and not
 * with a schema library, because every command opens a store, and loading such a library takes a tenth of what opening and listing takes.
 */

/** What an option, or an argument, may be. */
export interface Rule {
  /** What is meant, to follow "must be": `a whole number from 1 to 64`. */
  readonly meant: string;
  readonly holds: (value: unknown) => boolean;
  /** Whether a value that is turned down may be shown. Default: false, since it may be a secret in the wrong place. */
  readonly shown?: boolean;
  /** Of an object: what its own options may be. */
  readonly table?: Readonly<Record<string, Rule>>;
  /** Those of them that may not be left out. Default: none. */
  readonly required?: readonly string[];
  /** Of a list, or of an object whose names are anybody's: what each in it must be. The first that is not is named. */
  readonly each?: Rule;
}

/** A rule for each option there is. Stands beside the options' type, which it cannot fall behind: a missing or unknown name does not compile. */
export type OptionTable<Options> = { readonly [Name in keyof Options]-?: Rule };

export const flag: Rule = { meant: 'true or false', holds: (value) => typeof value === 'boolean', shown: true };
export const text: Rule = { meant: 'a text', holds: (value) => typeof value === 'string' };
/** Whatever it may be, an operating system takes no other. */
export const path: Rule = {
  meant: 'a path: a text that is not empty and has no NUL in it',
  holds: (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
};
export const callback: Rule = { meant: 'a function', holds: (value) => typeof value === 'function' };
export const abortSignal: Rule = { meant: 'an AbortSignal', holds: (value) => value instanceof AbortSignal };
/** Infinity stands for no limit. */
export const limit: Rule = {
  meant: 'a whole number of at least 0, or Infinity',
  holds: (value) => isWhole(value, 0, Number.MAX_SAFE_INTEGER) || value === Number.POSITIVE_INFINITY,
  shown: true,
};

/** Of what is to be called. */
export const methods = (...names: readonly string[]): Rule => ({
  meant: `an object with the method${names.length === 1 ? '' : 's'} ${names.join(', ')}`,
  holds: (value) =>
    typeof value === 'object' &&
    value !== null &&
    names.every((name) => typeof Reflect.get(value, name) === 'function'),
});

export const textOf = (least: number, most: number): Rule => ({
  meant: `a text of ${least} to ${most} characters`,
  holds: (value) => typeof value === 'string' && value.length >= least && value.length <= most,
});

export const oneOf = (...values: readonly string[]): Rule => ({
  meant: `one of ${values.join(', ')}`,
  holds: (value) => typeof value === 'string' && values.includes(value),
  shown: true,
});

export const whole = (least: number, most: number): Rule => ({
  meant: `a whole number from ${least} to ${most}`,
  holds: (value) => isWhole(value, least, most),
  shown: true,
});

/** Milliseconds. @param most what a timer can wait unless said otherwise: beyond it, it does not wait at all */
export const milliseconds = (most = 2 ** 31 - 1): Rule => ({
  meant: `a number of milliseconds from 0 to ${most}`,
  holds: (value) => typeof value === 'number' && value >= 0 && value <= most,
  shown: true,
});

export const listOf = (rule: Rule): Rule => ({
  meant: `a list, and each in it ${rule.meant}`,
  holds: (value) => Array.isArray(value) && value.every(rule.holds),
  each: rule,
});

/** @param required names that may not be left out */
export const optionsOf = <Options>(
  table: OptionTable<Options>,
  ...required: readonly (keyof Options & string)[]
): Rule => ({
  meant: `an object with ${Object.keys(table).join(', ')}`,
  holds: isObject,
  table: table as Readonly<Record<string, Rule>>,
  required,
});

/** @param own what it leaves out, or has as `undefined`, is as `defaults` say */
export function overridden<Options extends object>(
  defaults: Options,
  own: { readonly [Name in keyof Options]?: Options[Name] | undefined } = {},
): Options {
  return { ...defaults, ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) };
}

/**
 * @param call whose options they are: `pull`
 * @throws ProvisionerError `ERR_BAD_OPTION` for what is no object, an option there is not, or a value that cannot be; what is `undefined` counts as left out
 */
export function checkOptions<Options>(call: string, table: OptionTable<Options>, options: unknown): void {
  checkValue(call, 'options', optionsOf(table), options, '');
}

/** @param name as messages call it @throws ProvisionerError `ERR_BAD_OPTION`, also when it is `undefined` */
export function checkArgument(call: string, name: string, rule: Rule, value: unknown): void {
  checkValue(call, name, rule, value, `${name}.`);
}

/** @param prefix for the names of what is in it */
function checkValue(call: string, name: string, rule: Rule, value: unknown, prefix: string): void {
  if (rule.each !== undefined) checkEach(call, name, rule.each, value);
  if (!rule.holds(value)) {
    const found = value === undefined ? 'it is missing' : `not ${describe(value, rule.shown ?? false)}`;
    throw badOption(call, name, `${name} must be ${rule.meant}; ${found}`);
  }
  const { table, required = [] } = rule;
  if (table === undefined) return;
  const options = value as Readonly<Record<string, unknown>>;
  for (const inside of required) {
    if (options[inside] === undefined) throw badOption(call, `${prefix}${inside}`, `${prefix}${inside} is missing`);
  }
  for (const [inside, given] of Object.entries(options)) {
    const itsRule = Object.hasOwn(table, inside) ? table[inside] : undefined;
    if (itsRule === undefined) throw unknownOption(call, prefix, inside, Object.keys(table));
    if (given !== undefined) checkValue(call, `${prefix}${inside}`, itsRule, given, `${prefix}${inside}.`);
  }
}

function checkEach(call: string, name: string, rule: Rule, value: unknown): void {
  if (Array.isArray(value)) {
    for (const [index, one] of value.entries()) checkValue(call, `${name}[${index}]`, rule, one, `${name}[${index}].`);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, one] of Object.entries(value)) checkValue(call, `${name}.${key}`, rule, one, `${name}.${key}.`);
  }
}

function unknownOption(call: string, prefix: string, name: string, known: readonly string[]): ProvisionerError {
  const meant = known.find((other) => isAlike(name, other));
  return badOption(
    call,
    `${prefix}${name}`,
    `there is no option ${prefix}${name}`,
    meant === undefined ? `there are: ${known.join(', ')}` : `did you mean ${prefix}${meant}?`,
  );
}

function badOption(call: string, option: string, message: string, hint?: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `${call}: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    details: { call, option },
  });
}

function describe(value: unknown, shown: boolean): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return shown ? JSON.stringify(value.slice(0, 100)) : 'such a text';
  if (typeof value === 'number' || typeof value === 'boolean') return shown ? String(value) : `a ${typeof value}`;
  if (typeof value !== 'object') return `a ${typeof value}`;
  const kind = kindOf(value);
  return kind === 'Object' ? 'an object' : `${/^[AEIOU]/.test(kind) ? 'an' : 'a'} ${kind}`;
}

function isWhole(value: unknown, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

/** An AbortSignal, a promise, a Map and their like have nothing to be checked, and would pass for options that are all left out. */
function isObject(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return kindOf(value) === 'Object' || Object.keys(value).length > 0;
}

/** `Object`, `Promise`, `AbortSignal`; of whichever realm. */
function kindOf(value: object): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}

/** Written otherwise (`dry-run`, `DRYRUN`), or with one or two letters changed, missing or too many. */
function isAlike(name: string, other: string): boolean {
  const [one, two] = [name, other].map((word) => word.toLowerCase().replace(/[^a-z0-9]/g, '')) as [string, string];
  return one === two || (one.length < 100 && distance(one, two) <= Math.min(2, two.length / 3));
}

/** How many letters have to be changed, put in or taken out. @see Levenshtein's distance, computed row by row */
function distance(one: string, two: string): number {
  let row = Array.from({ length: two.length + 1 }, (_, index) => index);
  for (const [at, letter] of [...one].entries()) {
    const next = [at + 1];
    for (const [index, other] of [...two].entries()) {
      const changed = (row[index] as number) + (letter === other ? 0 : 1);
      next.push(Math.min(changed, (row[index + 1] as number) + 1, (next[index] as number) + 1));
    }
    row = next;
  }
  return row.at(-1) as number;
}
