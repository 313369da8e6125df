const SIZE_UNITS = ['kB', 'MB', 'GB', 'TB', 'PB', 'EB'] as const;

/** Bytes in decimal units with one decimal, as `docker` shows them: `512B`, `1.5kB`, `627.1MB`. */
export function formatSize(bytes: number): string {
  if (bytes < 1000) return `${bytes}B`;
  let value = bytes;
  let shown = '';
  for (const unit of SIZE_UNITS) {
    value /= 1000;
    shown = `${value.toFixed(1)}${unit}`;
    // What rounds up to a thousand belongs to the next unit.
    if (Number(value.toFixed(1)) < 1000) break;
  }
  return shown;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A unit is used until the next one would count to two, so that `1 month` never stands for 59 days. */
const AGE_UNITS: readonly (readonly [name: string, milliseconds: number, until: number])[] = [
  ['second', SECOND, 2 * MINUTE],
  ['minute', MINUTE, 2 * HOUR],
  ['hour', HOUR, 2 * DAY],
  ['day', DAY, 14 * DAY],
  ['week', 7 * DAY, 60 * DAY],
  ['month', 30 * DAY, 730 * DAY],
  ['year', 365 * DAY, Number.POSITIVE_INFINITY],
];

/** How long something has been there: `5 seconds`, `3 hours`. A time still to come, as after a change of the clock, is `0 seconds`. */
export function formatAge(milliseconds: number): string {
  const age = Math.max(0, milliseconds);
  const [name, size] = AGE_UNITS.find(([, , until]) => age < until) ?? (['second', SECOND] as const);
  const count = Math.floor(age / size);
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}

/** Time spent: `0.4s`, `75.0s`. */
export function formatDuration(milliseconds: number): string {
  return `${(milliseconds / SECOND).toFixed(1)}s`;
}
