import { constants } from 'node:os';
import { check, close, lastErrno, lastError } from '../../syscalls/native/libc/libc.js';
import { processStat } from '../process-stat.js';
import type { ProcessHandle } from '../processes.js';
import { handleByNumber, requirePid } from '../signal-by-number.js';
import * as libc from './libc-processes.js';

const { ESRCH, ENOSYS, EPERM, EINTR } = constants.errno;
/** `struct pollfd`: int fd, short events, short revents. */
const POLLIN = 1;

/** As `Processes.open`: by a pidfd, before Linux 5.3 or where a filter forbids it by number. */
export function openNativeHandle(pid: number, startTicks: bigint | undefined): ProcessHandle | undefined {
  requirePid(pid);
  const pidfd = libc.pidfdOpen(pid);
  if (pidfd < 0) {
    const errno = lastErrno();
    if (errno === ESRCH) return undefined;
    if (errno === ENOSYS || errno === EPERM)
      return handleByNumber(pid, startTicks, (to, signal) => check(libc.kill(to, signal), 'kill'));
    throw lastError('pidfd_open');
  }
  // Looked at when it is held already, so what is seen is what is held, or it has ended in between, which the handle tells.
  if (startTicks !== undefined && processStat(pid)?.startTicks !== startTicks) {
    close(pidfd);
    return undefined;
  }
  return new PidfdHandle(pid, pidfd);
}

class PidfdHandle implements ProcessHandle {
  readonly pid: number;
  #pidfd: number;

  constructor(pid: number, pidfd: number) {
    this.pid = pid;
    this.#pidfd = pidfd;
  }

  send(signal: number): boolean {
    if (libc.pidfdSendSignal(this.#pidfd, signal) === 0) return true;
    if (lastErrno() === ESRCH) return false;
    throw lastError('pidfd_send_signal');
  }

  hasEnded(): boolean {
    const wait = Int32Array.of(this.#pidfd, POLLIN);
    const found = libc.poll(wait, 1, 0);
    if (found < 0 && lastErrno() === EINTR) return false;
    return check(found, 'poll') > 0;
  }

  close(): void {
    if (this.#pidfd < 0) return;
    close(this.#pidfd);
    this.#pidfd = -1;
  }
}
