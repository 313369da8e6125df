/**
 * A number as cgroup files have them: digits and a newline. What is more than a number here can hold exactly loses its last digits; for bytes and nanoseconds that
 * is less than anybody measures. @returns undefined for anything else, `max` included
 */
export function parseNumber(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? '';
  return /^\d+$/.test(trimmed) ? Number(trimmed) : undefined;
}

/**
 * A limit: undefined where there is none. Version 2 writes `max` then; version 1 writes -1, or the most that it can count, in whole pages
 * (9223372036854771712 where they have 4 KiB), which is why all beyond 2^53 counts as none.
 */
export function parseLimit(text: string | undefined): number | undefined {
  const value = parseNumber(text);
  return value !== undefined && value <= Number.MAX_SAFE_INTEGER ? value : undefined;
}

/** The value of a line `name value`, as in `cpu.stat` and `memory.events`. */
export function numberOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const begin = text.startsWith(`${name} `) ? 0 : text.indexOf(`\n${name} `) + 1;
  if (begin === 0 && !text.startsWith(`${name} `)) return undefined;
  const end = text.indexOf('\n', begin);
  return parseNumber(text.slice(begin + name.length + 1, end < 0 ? undefined : end));
}

/** Undefined only when both are: what one hierarchy does not know adds nothing. */
export function sum(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined ? other : one + (other ?? 0);
}
