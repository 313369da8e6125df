import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { constants as os, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemCode } from '../../../base/errors.js';
import { syscallError } from '../../syscalls/syscalls.js';
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
import { handleByNumber, requirePid } from '../signal-by-number.js';
import { spawnFailure, type WholeRequest, wholeRequest } from '../spawn-request.js';

/** What plain Node can do; the table at `Processes` tells what that is not. */
export class NativeFreeProcesses implements Processes {
  readonly kind = 'native-free';
  /** Those whose end nobody has asked for yet. */
  readonly #exits = new Map<number, () => ProcessExit | undefined>();

  async spawn(request: SpawnRequest): Promise<SpawnedProcess> {
    const whole = wholeRequest(request, 'spawn');
    // From 3 on, Node takes "ignore" for "leave it closed".
    const device = whole.descriptors.includes('null') ? openSync('/dev/null', constants.O_RDWR) : -1;
    try {
      const stdio = whole.descriptors.map((one) => (one === 'null' ? device : one));
      const child = await started(whole, stdio);
      const pid = child.pid as number;
      this.#exits.set(pid, exitLook(child));
      return { pid };
    } catch (error) {
      const code = systemCode(error);
      throw code === undefined ? error : spawnFailure(code, 'spawn', whole);
    } finally {
      if (device >= 0) closeSync(device);
    }
  }

  async exitOf(pid: number, wait: ExitWait = {}): Promise<ProcessExit> {
    const look = this.#exits.get(pid);
    if (look === undefined) throw syscallError('ECHILD', 'waitid');
    const exit = await awaitExit(look, wait);
    this.#exits.delete(pid);
    return exit;
  }

  /** Node makes no pipes, but opens those that have a name. */
  openPipe(): PipeEnds {
    const directory = mkdtempSync(join(tmpdir(), 'provisioner-pipe-'));
    try {
      const path = join(directory, 'pipe');
      execFileSync('mkfifo', ['-m', '600', path], { stdio: 'ignore' });
      // Neither may wait for the other; the reader that does not is the one that comes first.
      const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        return { readEnd, writeEnd: openSync(path, constants.O_WRONLY) };
      } catch (error) {
        closeSync(readEnd);
        throw error;
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  sealedCopy(_program: string): undefined {
    return undefined;
  }

  open(pid: number, startTicks?: bigint): ProcessHandle | undefined {
    requirePid(pid);
    return handleByNumber(pid, startTicks, (to, signal) => process.kill(to, signal));
  }
}

function started(
  { program, texts, variables, directory, newSession }: WholeRequest,
  stdio: StdioOptions,
): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, texts.slice(1), {
      env: Object.fromEntries(variables.map((variable) => splitVariable(variable))),
      stdio,
      detached: newSession,
      ...(directory === undefined ? {} : { cwd: directory }),
    });
    child.once('error', reject).once('spawn', () => resolve(child));
    // Whether this process stays for it is for `exitOf` to say, which has timers.
    child.unref();
  });
}

function splitVariable(variable: string): [string, string] {
  const at = variable.indexOf('=');
  return [variable.slice(0, at), variable.slice(at + 1)];
}

function exitLook(child: ChildProcess): () => ProcessExit | undefined {
  return () => {
    if (child.exitCode !== null) return { code: child.exitCode };
    const signal = child.signalCode;
    return signal === null ? undefined : { signal: os.signals[signal] };
  };
}
