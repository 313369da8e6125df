import { setMaxListeners } from 'node:events';
import { anySignal } from '../any-signal.js';
import { checkOptions, type OptionTable } from './check-options.js';

/** Signals of our own, by those of callers. */
const own = new WeakMap<AbortSignal, AbortSignal>();

/**
 * Takes the options of a call from outside. Their signal is replaced by one of our own that follows it: a program may give one signal to many calls, and each of
 * them listens to it, for which Node would print a warning to the program's own stderr from the eleventh on.
 * @returns what the call is to use instead of what it was given
 * @throws ProvisionerError `ERR_BAD_OPTION`, as `checkOptions`
 */
export function takeOptions<Options extends object>(
  call: string,
  table: OptionTable<Options>,
  options: Options,
): Options {
  checkOptions(call, table, options);
  // An option of that name may also be a signal that is sent to a process.
  const { signal } = options as { readonly signal?: unknown };
  return signal instanceof AbortSignal ? { ...options, signal: ownSignal(signal) } : options;
}

/** One for all calls that are given the same, and as long as that lives: it notes each that follows it for good. */
function ownSignal(signal: AbortSignal): AbortSignal {
  const known = own.get(signal);
  if (known !== undefined) return known;
  const made = anySignal([signal]);
  setMaxListeners(0, made);
  own.set(signal, made);
  return made;
}
