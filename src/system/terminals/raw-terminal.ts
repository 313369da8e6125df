/** Bytes; more than any libc's `struct termios` has. */
const ATTRIBUTES = 256;
/** When what is being printed has been printed. @see tcsetattr(3), TCSADRAIN */
const DRAINED = 1;

/**
 * Has a terminal hand on each key as it is, and print each byte as it is. Node's own `setRawMode` has it turn each line feed into a carriage return and a line feed, where a program that draws the whole screen
 * means one line down.
 * @returns has it be as it was; undefined where the descriptor is no terminal, or this machine has no native calls
 */
export async function makeTerminalRaw(descriptor: number): Promise<(() => void) | undefined> {
  const libc = await import('./libc-terminals.js').catch(() => undefined);
  const before = new Uint8Array(ATTRIBUTES);
  if (libc === undefined || libc.getAttributes(descriptor, before) !== 0) return undefined;
  const raw = Uint8Array.from(before);
  libc.setRaw(raw);
  if (libc.setAttributes(descriptor, DRAINED, raw) !== 0) return undefined;
  return () => void libc.setAttributes(descriptor, DRAINED, before);
}
