import { UsageError } from '../usage-error.js';
import { parseAge } from './parse-units.js';

/** A time, or an age before now: a Date. @param option for the error @throws UsageError */
export function parseSince(text: string, option: string, now = Date.now()): Date {
  if (/^\d{4}-\d\d-\d\d/.test(text)) {
    const time = new Date(text);
    if (!Number.isNaN(time.getTime())) return time;
  } else if (/^\d{9,}(?:\.\d+)?$/.test(text)) {
    return new Date(Number(text) * 1000);
  } else {
    return new Date(now - parseAge(text, option));
  }
  throw new UsageError(
    `${option}: not a time: ${JSON.stringify(text)}`,
    'write one such as 2026-01-31T12:00:00Z, or an age such as 10m',
  );
}
