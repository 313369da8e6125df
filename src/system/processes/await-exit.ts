import type { ExitWait, ProcessExit } from './processes.js';

/** Pauses between looks, in milliseconds: at first, at most, and while there is somebody who will tell. */
const FIRST = 1;
const LONGEST = 20;
const UNTIL_TOLD = 1000;

/**
 * Looks whether a process has ended until it has.
 * @param look undefined while it has not
 * @throws what `look` throws; the reason of the signal
 */
export async function awaitExit(
  look: () => ProcessExit | undefined,
  { ended, signal, idle }: ExitWait,
): Promise<ProcessExit> {
  let told = ended === undefined;
  let wake = (): void => {};
  const tell = (): void => {
    told = true;
    wake();
  };
  ended?.then(tell, tell);
  for (let pause = FIRST; ; ) {
    signal?.throwIfAborted();
    const exit = look();
    if (exit !== undefined) return exit;
    const isHurried = told && idle?.aborted !== true;
    const wait = isHurried ? pause : UNTIL_TOLD;
    if (told) pause = Math.min(2 * pause, LONGEST);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => wake(), wait);
      const letGo = () => void timer.unref();
      wake = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        idle?.removeEventListener('abort', letGo);
        resolve();
      };
      signal?.addEventListener('abort', wake);
      if (idle?.aborted) letGo();
      else idle?.addEventListener('abort', letGo);
    });
  }
}
