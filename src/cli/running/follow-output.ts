import type { Containerizer, Exit, LogEntry } from '../../containerizer/index.js';
import type { HostProcess } from '../host-process.js';
import { Interruption } from '../interruption.js';

/** Where bytes go, and whether it is time to wait. */
export interface ByteStream {
  write(bytes: Uint8Array): unknown;
}

/**
 * Prints what a container prints until its program has ended. The first interruption of this process is handed on to the program, which may take its time, or not care; the second ends
 * this process and leaves the container running.
 */
export async function followOutput(containers: Containerizer, containerId: string, host: HostProcess): Promise<Exit> {
  const { signal } = host;
  const handOn = () => {
    const { reason } = signal;
    const name = reason instanceof Interruption ? reason.signal : 'SIGTERM';
    containers.kill(containerId, name, { anyOwner: true }).catch(() => undefined);
  };
  if (signal.aborted) handOn();
  else signal.addEventListener('abort', handOn, { once: true });
  try {
    const ended = containers.wait(containerId);
    for await (const entry of containers.logs(containerId, { follow: true })) await printEntry(entry, host);
    return await ended;
  } finally {
    signal.removeEventListener('abort', handOn);
  }
}

/** What the monitor says itself is no part of what the program printed. */
export function printEntry({ stream, bytes }: LogEntry, { stdout, stderr }: HostProcess): Promise<void> | void {
  return write(stream === 'stdout' ? stdout : stderr, bytes);
}

/** Waits where whoever reads does not keep up, so that a long output is not all in memory. */
function write(stream: unknown, bytes: Uint8Array): Promise<void> | void {
  const to = stream as ByteStream & {
    once?(event: string, listener: () => void): unknown;
    readonly destroyed?: boolean;
  };
  if (to.write(bytes) === false && to.destroyed !== true && to.once !== undefined) {
    return new Promise((resolve) => {
      to.once?.('drain', resolve);
      to.once?.('close', resolve);
    });
  }
}
