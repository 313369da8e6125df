/** What the file `deadline` says of a time from now on: seconds of the monotonic clock, which stands still while the machine sleeps. @see clock_gettime(2) */
export function deadlineIn(milliseconds: number): string {
  return (Number(process.hrtime.bigint()) / 1e9 + milliseconds / 1000).toFixed(3);
}

/** What it says while the time of a launch does not pass: how much of it is left. In the file, and nowhere else, two processes that pause at once cannot lose it. */
export const heldDeadline = (milliseconds: number): string => `- ${(milliseconds / 1000).toFixed(3)}`;

/** Milliseconds that are left by what the file says, and whether they pass; undefined when it says nothing. */
export function remainingOf(deadline: string): { readonly milliseconds: number; readonly isHeld: boolean } | undefined {
  const [, held, seconds] = /^(- )?([0-9]+(?:\.[0-9]+)?)$/.exec(deadline) ?? [];
  if (seconds === undefined) return undefined;
  const isHeld = held !== undefined;
  const milliseconds = Number(seconds) * 1000 - (isHeld ? 0 : Number(process.hrtime.bigint()) / 1e6);
  return { milliseconds: Math.max(0, milliseconds), isHeld };
}
