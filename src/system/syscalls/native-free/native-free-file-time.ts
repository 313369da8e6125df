import type { FileTime } from '../syscalls.js';

/** As Node takes a time, of which the system gets whole microseconds. A number below zero stands for the present there; text does not. */
export function nodeTime({ seconds, nanoseconds }: FileTime): number | string {
  const time = seconds + nanoseconds / 1e9;
  return time < 0 ? String(time) : time;
}
