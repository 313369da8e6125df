import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { systemCode } from '../../../base/errors.js';
import { check } from '../../syscalls/native/libc/libc.js';
import { awaitExit } from '../await-exit.js';
import type {
  ExitWait,
  PipeEnds,
  ProcessExit,
  Processes,
  ProcessHandle,
  SpawnedProcess,
  SpawnRequest,
} from '../processes.js';
import { spawnFailure, wholeRequest } from '../spawn-request.js';
import * as libc from './libc-processes.js';
import { makeMemoryFile } from './memory-file.js';
import { openNativeHandle } from './native-handle.js';
import { posixSpawn } from './posix-spawn.js';

const O_CLOEXEC = 0o2000000;
/** @see waitid(2) */
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const CLD_EXITED = 1;
/** `siginfo_t`, and in it, in words of 4 bytes: si_code, si_pid, si_status. */
const INFO_BYTES = 128;
const CODE = 2;
const PID = 4;
const STATUS = 6;
/** @see fcntl(2), "File Sealing" */
const F_ADD_SEALS = 1033;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const F_SEAL_WRITE = 8;
const COPY_BYTES = 1 << 20;

export class NativeProcesses implements Processes {
  readonly kind = 'native';
  readonly #info = new Int32Array(INFO_BYTES / 4);

  async spawn(request: SpawnRequest): Promise<SpawnedProcess> {
    const whole = wholeRequest(request, 'posix_spawn');
    try {
      return { pid: posixSpawn(whole) };
    } catch (error) {
      const code = systemCode(error);
      throw code === undefined ? error : spawnFailure(code, 'posix_spawn', whole);
    }
  }

  exitOf(pid: number, wait: ExitWait = {}): Promise<ProcessExit> {
    return awaitExit(() => this.#reap(pid), wait);
  }

  /** Asks for this child and no other: Node does so for its own. @returns undefined while it goes on */
  #reap(pid: number): ProcessExit | undefined {
    this.#info.fill(0);
    check(libc.waitid(P_PID, pid, this.#info, WNOHANG | WEXITED), 'waitid');
    if (this.#info[PID] === 0) return undefined;
    const status = this.#info[STATUS] as number;
    return this.#info[CODE] === CLD_EXITED ? { code: status } : { signal: status };
  }

  openPipe(): PipeEnds {
    const ends = new Int32Array(2);
    check(libc.pipe2(ends, O_CLOEXEC), 'pipe2');
    return { readEnd: ends[0] as number, writeEnd: ends[1] as number };
  }

  sealedCopy(program: string): number {
    const source = openSync(program, constants.O_RDONLY);
    try {
      const copy = makeMemoryFile('program');
      try {
        copyAll(source, copy);
        const seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
        check(libc.addSeals(copy, F_ADD_SEALS, seals), 'fcntl');
        return copy;
      } catch (error) {
        closeSync(copy);
        throw error;
      }
    } finally {
      closeSync(source);
    }
  }

  open(pid: number, startTicks?: bigint): ProcessHandle | undefined {
    return openNativeHandle(pid, startTicks);
  }
}

function copyAll(source: number, copy: number): void {
  const buffer = Buffer.allocUnsafe(COPY_BYTES);
  for (;;) {
    const length = readSync(source, buffer);
    if (length === 0) return;
    for (let written = 0; written < length; ) written += writeSync(copy, buffer, written, length - written);
  }
}
