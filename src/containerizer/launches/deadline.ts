/** What the file `deadline` says while the time of a launch does not pass. */
export const NO_DEADLINE = '-';

/** What the file `deadline` says of a time from now on: seconds of the monotonic clock, which stands still while the machine sleeps. @see clock_gettime(2) */
export function deadlineIn(milliseconds: number): string {
  return (Number(process.hrtime.bigint()) / 1e9 + milliseconds / 1000).toFixed(3);
}

/** Milliseconds that are left by what the file says; undefined when it says nothing. */
export function remainingOf(deadline: string): number | undefined {
  const seconds = Number(deadline);
  if (deadline === NO_DEADLINE || !Number.isFinite(seconds)) return undefined;
  return Math.max(0, seconds * 1000 - Number(process.hrtime.bigint()) / 1e6);
}
